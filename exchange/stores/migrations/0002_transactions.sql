-- The transactions of a post, one function and so one round trip each.
-- They check and set under the company's row lock; what to do is decided by the caller.
-- Locks are taken lead before delivery before company, so that no two can wait for each other.

-- A company as this transaction leaves it, as the JSON of core.market.CompanyChange: the bucket of
-- one day and era, and the usage of one campaign in the periods that p_now lies in.
create function company_change(
    p_company text, p_day date, p_era integer, p_campaign text, p_now timestamptz
) returns text language sql stable as $$
    select jsonb_build_object(
        'company_id', c.id,
        'version', c.version,
        'active', c.active,
        'era', c.era,
        'era_assigned', c.era_assigned,
        'reset_at', c.reset_at,
        'available_cents', case when c.prepaid then c.balance - c.held end,
        'buckets', coalesce((
            select jsonb_agg(jsonb_build_array(b.day, b.era, b.assigned, b.manual, b.crm))
            from bucket b where b.company_id = c.id and b.day = p_day and b.era = p_era), '[]'),
        'usage', coalesce((
            select jsonb_agg(jsonb_build_array(u.campaign_id, u.period, u.starts_at, u.leads, u.spend))
            from usage u
            where u.campaign_id = p_campaign and u.starts_at <= p_now and p_now < u.ends_at), '[]')
    )::text
    from company c where c.id = p_company
$$;

-- A company whole: every bucket since p_first and all current usage.
create function company_whole(p_company text, p_first date, p_now timestamptz)
returns text language sql stable as $$
    select jsonb_build_object(
        'company_id', c.id,
        'version', c.version,
        'active', c.active,
        'era', c.era,
        'era_assigned', c.era_assigned,
        'reset_at', c.reset_at,
        'available_cents', case when c.prepaid then c.balance - c.held end,
        'whole', true,
        'buckets', coalesce((
            select jsonb_agg(jsonb_build_array(b.day, b.era, b.assigned, b.manual, b.crm))
            from bucket b where b.company_id = c.id and b.day >= p_first), '[]'),
        'usage', coalesce((
            select jsonb_agg(jsonb_build_array(u.campaign_id, u.period, u.starts_at, u.leads, u.spend))
            from usage u
            where u.company_id = c.id and u.starts_at <= p_now and p_now < u.ends_at), '[]')
    )::text
    from company c where c.id = p_company
$$;

-- Adds to a company's bucket; to be called under its row lock.
create function add_to_bucket(
    p_company text, p_day date, p_era integer, p_assigned bigint, p_manual bigint, p_crm bigint
) returns void language plpgsql as $$
begin
    update bucket set assigned = assigned + p_assigned, manual = manual + p_manual,
        crm = crm + p_crm
    where company_id = p_company and day = p_day and era = p_era;
    if not found then
        insert into bucket (company_id, day, era, assigned, manual, crm)
        values (p_company, p_day, p_era, p_assigned, p_manual, p_crm);
    end if;
end $$;

-- What a campaign has used of a period, counted from its deliveries.
create function used_of_period(
    p_campaign text, p_start timestamptz, p_end timestamptz, out leads bigint, out spend bigint
) language sql stable as $$
    select count(*), coalesce(sum(d.charged), 0)
    from delivery d
    where d.campaign_id = p_campaign and not d.test and d.state in ('open', 'accepted')
        and d.reserved_at >= p_start and d.reserved_at < p_end
$$;

-- Makes the usage of a campaign's periods where it is not kept yet; to be called under the
-- company's row lock.
create function keep_usage(
    p_company text, p_campaign text, p_periods text[], p_starts timestamptz[], p_ends timestamptz[]
) returns void language sql as $$
    insert into usage (campaign_id, period, starts_at, ends_at, company_id, leads, spend)
    select p_campaign, p.period, p.start, p.ending, p_company, used.leads, used.spend
    from (
        select distinct * from unnest(p_periods, p_starts, p_ends) as p (period, start, ending)
    ) p, used_of_period(p_campaign, p.start, p.ending) as used
    where not exists (
        select 1 from usage u where u.campaign_id = p_campaign
        and u.period = p.period and u.starts_at = p.start)
$$;

-- Holds caps, budget and balance for a delivery and writes it down as open.
-- Answers 'reserved', 'lost' (the lead is finished or another worker's), 'taken' (this delivery
-- was settled before), or why there is no room: inactive, balance, cap, budget.
create function reserve_delivery(
    p_owner text, p_delivery text, p_lead text, p_leg integer, p_place integer,
    p_company text, p_campaign text, p_test boolean, p_charged bigint, p_seller_cents bigint,
    p_day date, p_now timestamptz,
    p_periods text[], p_starts timestamptz[], p_ends timestamptz[],
    p_cap_leads bigint[], p_cap_spend bigint[],
    out outcome text, out change text
) language plpgsql as $$
declare
    v_company company%rowtype;
    v_state text;
    v_leads bigint;
    v_spend bigint;
begin
    perform 1 from lead where id = p_lead and owner = p_owner and finished_at is null for update;
    if not found then outcome := 'lost'; return; end if;
    select state into v_state from delivery where id = p_delivery;
    if found then
        outcome := case when v_state = 'open' then 'reserved' else 'taken' end;
        return;
    end if;
    select * into v_company from company where id = p_company for update;
    if not found or not v_company.active then outcome := 'inactive'; return; end if;
    if not p_test then
        if v_company.prepaid and v_company.balance - v_company.held < p_charged then
            outcome := 'balance'; return;
        end if;
        for i in 1 .. coalesce(array_length(p_periods, 1), 0) loop
            select leads, spend into v_leads, v_spend from usage
            where campaign_id = p_campaign and period = p_periods[i] and starts_at = p_starts[i];
            if not found then
                select leads, spend into v_leads, v_spend
                from used_of_period(p_campaign, p_starts[i], p_ends[i]);
            end if;
            if p_cap_leads[i] is not null and v_leads + 1 > p_cap_leads[i] then
                outcome := 'cap'; return;
            end if;
            if p_cap_spend[i] is not null and v_spend + p_charged > p_cap_spend[i] then
                outcome := 'budget'; return;
            end if;
        end loop;
        -- Only now, so that a turn without room leaves nothing the market was not told of.
        perform keep_usage(p_company, p_campaign, p_periods, p_starts, p_ends);
        update usage set leads = leads + 1, spend = spend + p_charged
        where campaign_id = p_campaign and starts_at <= p_now and p_now < ends_at;
        update company set held = held + p_charged, version = version + 1,
            changed_at = clock_timestamp()
        where id = p_company;
    end if;
    insert into delivery (id, lead_id, leg, place, company_id, campaign_id, test, charged,
                          seller_cents, day, era, reserved_at)
    values (p_delivery, p_lead, p_leg, p_place, p_company, p_campaign, p_test, p_charged,
            p_seller_cents, p_day, v_company.era, p_now);
    update lead set state = 'delivering' where id = p_lead and state <> 'delivering';
    update leg set state = 'delivering' where lead_id = p_lead and leg = p_leg
        and state in ('received', 'delivering');
    outcome := 'reserved';
    if not p_test then
        change := company_change(p_company, p_day, v_company.era, p_campaign, p_now);
    end if;
end $$;

-- Books how a delivery ended. Null when it was settled before or the lead is another worker's.
-- accepted: sale, ledger, window. refused: what was held is released. failed and unclear: released,
-- and a CRM rejection in the window.
create function settle_delivery(
    p_owner text, p_delivery text, p_state text, p_reason integer, p_kind text, p_reference text,
    p_detail text, p_attempts integer, p_leg_state text, p_now timestamptz,
    p_window_closes_at timestamptz
) returns text language plpgsql as $$
declare
    d delivery%rowtype;
    v_seller text;
begin
    select seller_id into v_seller from lead
    where id = (select lead_id from delivery where id = p_delivery)
      and owner = p_owner and finished_at is null
    for update;
    if not found then return null; end if;
    select * into d from delivery where id = p_delivery and state = 'open' for update;
    if not found then return null; end if;
    perform 1 from company where id = d.company_id for update;
    update delivery set state = p_state, reason = p_reason, kind = p_kind,
        reference = p_reference, detail = p_detail, attempts = p_attempts, done_at = p_now
    where id = d.id;
    update leg set state = p_leg_state,
        seller_cents = case when p_state = 'accepted' then d.seller_cents end
    where lead_id = d.lead_id and leg = d.leg and state = 'delivering';
    if not found then
        raise exception 'leg % of lead % cannot become %', d.leg, d.lead_id, p_leg_state;
    end if;
    if d.test then return ''; end if;
    if p_state = 'accepted' then
        insert into sale (delivery_id, lead_id, leg, company_id, campaign_id, seller_id, charged,
                          seller_cents, margin, day, era, sold_at, window_closes_at)
        values (d.id, d.lead_id, d.leg, d.company_id, d.campaign_id, v_seller, d.charged,
                d.seller_cents, d.charged - d.seller_cents, d.day, d.era, p_now,
                p_window_closes_at);
        insert into ledger_entry (key, account, cents, at) values
            ('sale:' || d.id, 'company:' || d.company_id, -d.charged, p_now),
            ('sale:' || d.id, 'seller:' || v_seller, d.seller_cents, p_now),
            ('sale:' || d.id, 'operator', d.charged - d.seller_cents, p_now);
        perform add_to_bucket(d.company_id, d.day, d.era, d.charged, 0, 0);
    else
        update usage set leads = leads - 1, spend = spend - d.charged
        where campaign_id = d.campaign_id and starts_at <= d.reserved_at and d.reserved_at < ends_at;
        if p_state in ('failed', 'unclear') then
            insert into rejection (id, delivery_id, lead_id, company_id, kind, reason, value, day,
                                   era, rejected_at)
            values (d.id, d.id, d.lead_id, d.company_id, 'crm', p_reason, d.charged, d.day, d.era,
                    p_now);
            perform add_to_bucket(d.company_id, d.day, d.era, d.charged, 0, d.charged);
        end if;
    end if;
    update company set
        held = held - d.charged,
        balance = balance - case when p_state = 'accepted' then d.charged else 0 end,
        era_assigned = era_assigned
            + case when p_state <> 'refused' and era = d.era then d.charged else 0 end,
        version = version + 1,
        changed_at = clock_timestamp()
    where id = d.company_id;
    return company_change(d.company_id, d.day, d.era, d.campaign_id, p_now);
end $$;

-- Books a manual rejection whose rules the caller has checked under the sale's row lock.
create function book_rejection(
    p_id text, p_delivery text, p_reason integer, p_note bytea, p_note_key_id smallint,
    p_now timestamptz
) returns text language plpgsql as $$
declare
    s sale%rowtype;
begin
    select * into s from sale where delivery_id = p_delivery and state = 'sold' for update;
    if not found then return null; end if;
    perform 1 from company where id = s.company_id for update;
    insert into rejection (id, delivery_id, lead_id, company_id, kind, reason, note, note_key_id,
                           value, day, era, rejected_at)
    values (p_id, s.delivery_id, s.lead_id, s.company_id, 'manual', p_reason, p_note,
            p_note_key_id, s.charged, s.day, s.era, p_now);
    update sale set state = 'rejected' where delivery_id = s.delivery_id;
    update leg set state = 'rejected' where lead_id = s.lead_id and leg = s.leg;
    insert into ledger_entry (key, account, cents, at) values
        ('rejection:' || p_id, 'company:' || s.company_id, s.charged, p_now),
        ('rejection:' || p_id, 'seller:' || s.seller_id, -s.seller_cents, p_now),
        ('rejection:' || p_id, 'operator', -s.margin, p_now);
    perform add_to_bucket(s.company_id, s.day, s.era, 0, s.charged, 0);
    update company set balance = balance + s.charged, version = version + 1,
        changed_at = clock_timestamp()
    where id = s.company_id;
    return company_change(s.company_id, s.day, s.era, s.campaign_id, p_now);
end $$;
