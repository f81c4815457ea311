-- Closes a lead with its answer, in one round trip. False where it is finished or another worker's.
-- The state is made of the legs as they are now: one sold early may have been returned since.
-- p_order is the lifecycle's: the first state of it that any leg is in is the lead's.
create function finish_lead(
    p_lead text, p_owner text, p_answer bytea, p_legs integer[], p_states text[],
    p_order text[], p_now timestamptz
) returns boolean language plpgsql as $$
begin
    perform 1 from lead where id = p_lead and owner = p_owner and finished_at is null for update;
    if not found then return false; end if;
    update leg set state = ended.state
    from unnest(p_legs, p_states) as ended (leg, state)
    where leg.lead_id = p_lead and leg.leg = ended.leg and leg.state in ('received', 'delivering');
    update lead set answer = p_answer, finished_at = p_now, state = (
        select l.state from leg l where l.lead_id = p_lead
        order by array_position(p_order, l.state) limit 1)
    where id = p_lead;
    return true;
end $$;
