-- The transactions of a post for many posts at once: what waits at the same moment shares one
-- transaction, one lock of each company and one commit. Each function takes its posts as arrays,
-- in the order they were asked, and does to each what it would have done to it alone.
-- Locks: leads, then deliveries, then companies, each kind in the order of their ids, so that no
-- two can wait for each other. Rows are locked for update of what is no key: who only refers to
-- them need not wait.
-- A company's version grows by one for each transaction, however many of its leads are in it, and
-- one change tells what the transaction left.

drop function reserve_delivery(
    text, text, text, integer, integer, text, text, boolean, bigint, bigint, date, timestamptz,
    text[], timestamptz[], timestamptz[], bigint[], bigint[]);
drop function settle_delivery(
    text, text, text, integer, text, text, text, integer, text, timestamptz, timestamptz);
drop function finish_lead(text, text, bytea, integer[], text[], text[], timestamptz);

-- A lead's row is a little over the size from which PostgreSQL presses columns together or puts them
-- aside. It is written once and read whole, so both would be work for nothing.
alter table lead set (toast_tuple_target = 4080);

-- Companies as this transaction leaves them, as the JSON of core.changes.CompanyChange: their heads,
-- the buckets of these days, and the usage of these campaigns in the periods that p_now lies in.
-- Figures are absolute, so one that was not touched may be among them.
create function company_changes(
    p_companies text[], p_days date[], p_campaigns text[], p_now timestamptz
) returns text[] language plpgsql stable set plan_cache_mode = force_generic_plan as $$
begin
    return (select array_agg(jsonb_build_object(
        'company_id', c.id,
        'version', c.version,
        'active', c.active,
        'era', c.era,
        'era_assigned', c.era_assigned,
        'reset_at', c.reset_at,
        'available_cents', case when c.prepaid then c.balance - c.held end,
        'buckets', coalesce((
            select jsonb_agg(jsonb_build_array(b.day, b.era, b.assigned, b.manual, b.crm))
            from bucket b where b.company_id = c.id and b.day = any(p_days)), '[]'),
        'usage', coalesce((
            select jsonb_agg(jsonb_build_array(u.campaign_id, u.period, u.starts_at, u.leads, u.spend))
            from usage u
            where u.campaign_id = any(p_campaigns) and u.company_id = c.id
              and u.starts_at <= p_now and p_now < u.ends_at), '[]')
    )::text)
    from company c where c.id = any(p_companies));
end $$;

-- Which of the sales asked for surely have room, by their place in the arrays. Each is judged as if
-- all before it were sold, so whatever becomes of those, it fits. A sale that is not named may fit
-- all the same, or need usage that is not kept yet: it is for reserve_deliveries to say.
-- To be called under the companies' row locks. p_cap_sales says whose cap each cap is.
create function sales_with_room(
    p_companies text[], p_campaigns text[], p_charged bigint[],
    p_cap_sales integer[], p_periods text[], p_starts timestamptz[],
    p_most_leads bigint[], p_most_spend bigint[]
) returns integer[] language plpgsql stable set plan_cache_mode = force_generic_plan as $$
begin
    return (with asked as (
        select nth, company_id, campaign_id,
               sum(charged) over (partition by company_id order by nth) as of_company,
               row_number() over (partition by campaign_id order by nth) as leads,
               sum(charged) over (partition by campaign_id order by nth) as spend
        from unnest(p_companies, p_campaigns, p_charged)
            with ordinality as sale (company_id, campaign_id, charged, nth)
    )
    select array_agg(asked.nth::integer)
    from asked join company c on c.id = asked.company_id
    where c.active
      and (not c.prepaid or c.balance - c.held >= asked.of_company)
      and not exists (
        select 1
        from unnest(p_cap_sales, p_periods, p_starts, p_most_leads, p_most_spend)
            as cap (sale, period, starts_at, leads, spend)
        left join usage u on u.campaign_id = asked.campaign_id
            and u.period = cap.period and u.starts_at = cap.starts_at
        where cap.sale = asked.nth
          and (u.campaign_id is null
            or u.leads + asked.leads > cap.leads
            or u.spend + asked.spend > cap.spend)));
end $$;

-- Writes leads down, and of those whose first company takes them for certain (nobody is to be asked)
-- and has room, the whole sale: delivery, ledger, window, answer. Whatever stops this transaction
-- leaves nothing of them.
-- Leads, their legs and their sales are arrays of their own; p_leg_leads and p_sale_leads say whose
-- each is. A lead with a sale has one leg. p_contact_keys are apart by spaces.
-- Gives the places of the leads written, of the sales made, and the companies' changes.
create function claim_leads(
    p_owner text,
    p_leads text[], p_pings text[], p_sellers text[], p_verticals text[], p_tests boolean[],
    p_keys text[], p_hashes bytea[], p_offers bytea[], p_contacts bytea[],
    p_contact_key_ids smallint[], p_contact_keys text[], p_received timestamptz[],
    p_deadlines timestamptz[],
    p_leg_leads integer[], p_legs integer[], p_promised bigint[],
    p_sale_leads integer[], p_deliveries text[], p_places integer[], p_companies text[],
    p_campaigns text[], p_charged bigint[], p_seller_cents bigint[], p_days date[],
    p_at timestamptz[], p_closes_at timestamptz[], p_kinds text[], p_answers bytea[],
    p_cap_sales integer[], p_periods text[], p_starts timestamptz[], p_most_leads bigint[],
    p_most_spend bigint[],
    out claimed integer[], out sold integer[], out changes text[]
) language plpgsql set plan_cache_mode = force_generic_plan as $$
declare
    v_bought text[];
begin
    if cardinality(p_companies) > 0 then
        perform 1 from company where id = any(p_companies) order by id for no key update;
        sold := sales_with_room(p_companies, p_campaigns, p_charged, p_cap_sales, p_periods,
                                p_starts, p_most_leads, p_most_spend);
    end if;
    with written as (
        insert into lead (id, ping_id, seller_id, vertical, test, idempotency_key, body_hash,
                          offer, contact, contact_key_id, contact_keys, owner, state, received_at,
                          deadline_at, finished_at, answer)
        select l.id, l.ping_id, l.seller_id, l.vertical, l.test, l.key, l.hash, l.offer, l.contact,
               l.contact_key_id, string_to_array(l.contact_keys, ' '), p_owner,
               case when s.answer is null then 'received' else 'sold' end,
               l.received_at, l.deadline_at, s.at, s.answer
        from unnest(p_leads, p_pings, p_sellers, p_verticals, p_tests, p_keys, p_hashes, p_offers,
                    p_contacts, p_contact_key_ids, p_contact_keys, p_received, p_deadlines)
            with ordinality as l (id, ping_id, seller_id, vertical, test, key, hash, offer, contact,
                                  contact_key_id, contact_keys, received_at, deadline_at, nth)
        left join unnest(p_sale_leads, p_at, p_answers) with ordinality as s (lead, at, answer, nth)
            on s.lead = l.nth and s.nth = any(sold)
        -- Two that write the same pings wait for each other in one order.
        order by l.ping_id
        on conflict do nothing
        returning id
    )
    select array_agg(l.nth::integer) into claimed
    from unnest(p_leads) with ordinality as l (id, nth) join written on written.id = l.id;
    select array_agg(s.nth::integer), array_agg(distinct s.company_id) into sold, v_bought
    from unnest(p_sale_leads, p_companies) with ordinality as s (lead, company_id, nth)
    where s.nth = any(sold) and s.lead = any(claimed);
    insert into leg (lead_id, leg, state, promised, seller_cents)
    select p_leads[l.lead], l.leg, case when s.lead is null then 'received' else 'sold' end,
           l.promised, s.seller_cents
    from unnest(p_leg_leads, p_legs, p_promised) as l (lead, leg, promised)
    left join unnest(p_sale_leads, p_seller_cents) with ordinality as s (lead, seller_cents, nth)
        on s.lead = l.lead and s.nth = any(sold)
    where l.lead = any(claimed);
    if sold is null then return; end if;
    with made as (
        select s.*, p_leads[s.lead] as lead_id, p_sellers[s.lead] as seller_id, c.era
        from unnest(p_sale_leads, p_deliveries, p_places, p_companies, p_campaigns, p_charged,
                    p_seller_cents, p_days, p_at, p_closes_at, p_kinds)
            with ordinality as s (lead, id, place, company_id, campaign_id, charged, seller_cents,
                                  day, at, closes_at, kind, nth)
        join company c on c.id = s.company_id
        where s.nth = any(sold)
    ), delivered as (
        insert into delivery (id, lead_id, leg, place, company_id, campaign_id, state, test,
                              charged, seller_cents, day, era, reserved_at, done_at, kind, attempts)
        select id, lead_id, 0, place, company_id, campaign_id, 'accepted', false, charged,
               seller_cents, day, era, at, at, kind, 1
        from made
    ), sales as (
        insert into sale (delivery_id, lead_id, leg, company_id, campaign_id, seller_id, charged,
                          seller_cents, margin, day, era, sold_at, window_closes_at)
        select id, lead_id, 0, company_id, campaign_id, seller_id, charged, seller_cents,
               charged - seller_cents, day, era, at, closes_at
        from made
    ), entries as (
        insert into ledger_entry (key, account, cents, at)
        select 'sale:' || made.id, entry.account, entry.cents, made.at
        from made, lateral (values
            ('company:' || made.company_id, -made.charged),
            ('seller:' || made.seller_id, made.seller_cents),
            ('operator', made.charged - made.seller_cents)) as entry (account, cents)
    ), buckets as (
        insert into bucket (company_id, day, era, assigned)
        select company_id, day, era, sum(charged) from made group by company_id, day, era
        on conflict (company_id, day, era) do update
        set assigned = bucket.assigned + excluded.assigned
    ), used as (
        update usage u set leads = u.leads + t.leads, spend = u.spend + t.spend
        from (
            select k.campaign_id, k.period, k.starts_at, count(*) as leads,
                   sum(made.charged) as spend
            from made join usage k on k.campaign_id = made.campaign_id
                and k.starts_at <= made.at and made.at < k.ends_at
            group by k.campaign_id, k.period, k.starts_at
        ) t
        where u.campaign_id = t.campaign_id and u.period = t.period and u.starts_at = t.starts_at
    )
    update company c set
        balance = c.balance - t.cents,
        era_assigned = c.era_assigned + t.cents,
        version = c.version + 1,
        changed_at = clock_timestamp()
    from (select company_id, sum(charged) as cents from made group by company_id) t
    where c.id = t.company_id;
    changes := company_changes(v_bought, p_days, p_campaigns, (select max(at) from unnest(p_at) at));
end $$;

-- Holds caps, budget and balance for deliveries and writes them down as open, one after the other
-- as they were asked. Of each: 'reserved', 'lost' (the lead is finished or another worker's),
-- 'taken' (this delivery was settled before), or why there is no room: inactive, balance, cap,
-- budget. p_cap_deliveries says whose cap each cap is.
create function reserve_deliveries(
    p_owner text, p_deliveries text[], p_leads text[], p_legs integer[], p_places integer[],
    p_companies text[], p_campaigns text[], p_tests boolean[], p_charged bigint[],
    p_seller_cents bigint[], p_days date[], p_at timestamptz[],
    p_cap_deliveries integer[], p_periods text[], p_starts timestamptz[], p_ends timestamptz[],
    p_most_leads bigint[], p_most_spend bigint[],
    out outcomes text[], out changes text[]
) language plpgsql set plan_cache_mode = force_generic_plan as $$
declare
    c company%rowtype;
    v_cap record;
    v_state text;
    v_leads bigint;
    v_spend bigint;
    v_why text;
    v_is_new boolean;
    v_touched text[];
begin
    perform 1 from lead where id = any(p_leads) order by id for no key update;
    perform 1 from company where id = any(p_companies) order by id for no key update;
    for i in 1 .. cardinality(p_deliveries) loop
        perform 1 from lead where id = p_leads[i] and owner = p_owner and finished_at is null;
        if not found then outcomes[i] := 'lost'; continue; end if;
        select state into v_state from delivery where id = p_deliveries[i];
        if found then
            outcomes[i] := case when v_state = 'open' then 'reserved' else 'taken' end;
            continue;
        end if;
        select * into c from company where id = p_companies[i];
        if not found or not c.active then outcomes[i] := 'inactive'; continue; end if;
        if not p_tests[i] then
            v_why := case when c.prepaid and c.balance - c.held < p_charged[i] then 'balance' end;
            v_is_new := false;
            for v_cap in
                select * from unnest(p_cap_deliveries, p_periods, p_starts, p_ends, p_most_leads,
                                     p_most_spend)
                    as cap (delivery, period, starts_at, ends_at, leads, spend)
                where cap.delivery = i
            loop
                exit when v_why is not null;
                select leads, spend into v_leads, v_spend from usage
                where campaign_id = p_campaigns[i] and period = v_cap.period
                  and starts_at = v_cap.starts_at;
                if not found then
                    v_is_new := true;
                    select leads, spend into v_leads, v_spend
                    from used_of_period(p_campaigns[i], v_cap.starts_at, v_cap.ends_at);
                end if;
                v_why := case when v_leads + 1 > v_cap.leads then 'cap'
                    when v_spend + p_charged[i] > v_cap.spend then 'budget' end;
            end loop;
            if v_why is not null then outcomes[i] := v_why; continue; end if;
            -- Only now, so that a turn without room leaves nothing the market was not told of.
            if v_is_new then
                perform keep_usage(p_companies[i], p_campaigns[i], array_agg(cap.period),
                                   array_agg(cap.starts_at), array_agg(cap.ends_at))
                from unnest(p_cap_deliveries, p_periods, p_starts, p_ends)
                    as cap (delivery, period, starts_at, ends_at)
                where cap.delivery = i;
            end if;
            update usage set leads = leads + 1, spend = spend + p_charged[i]
            where campaign_id = p_campaigns[i] and starts_at <= p_at[i] and p_at[i] < ends_at;
            update company set held = held + p_charged[i] where id = p_companies[i];
            v_touched := v_touched || p_companies[i];
        end if;
        insert into delivery (id, lead_id, leg, place, company_id, campaign_id, test, charged,
                              seller_cents, day, era, reserved_at)
        values (p_deliveries[i], p_leads[i], p_legs[i], p_places[i], p_companies[i],
                p_campaigns[i], p_tests[i], p_charged[i], p_seller_cents[i], p_days[i], c.era,
                p_at[i]);
        update lead set state = 'delivering' where id = p_leads[i] and state <> 'delivering';
        update leg set state = 'delivering' where lead_id = p_leads[i] and leg = p_legs[i]
            and state in ('received', 'delivering');
        outcomes[i] := 'reserved';
    end loop;
    if v_touched is null then return; end if;
    update company set version = version + 1, changed_at = clock_timestamp()
    where id = any(v_touched);
    changes := company_changes(v_touched, p_days, p_campaigns, (select max(at) from unnest(p_at) at));
end $$;

-- Books how deliveries ended, one after the other as they were asked. Gives the places of those
-- booked, and beside them their companies: not those settled before, or of another worker's lead.
-- accepted: sale, ledger, window. refused: what was held is released. failed and unclear: released,
-- and a CRM rejection in the window.
create function settle_deliveries(
    p_owner text, p_deliveries text[], p_states text[], p_reasons integer[], p_kinds text[],
    p_references text[], p_details text[], p_attempts integer[], p_leg_states text[],
    p_at timestamptz[], p_closes_at timestamptz[],
    out settled integer[], out companies text[], out changes text[]
) language plpgsql set plan_cache_mode = force_generic_plan as $$
declare
    d delivery%rowtype;
    v_seller text;
    v_state text;
    v_touched text[];
    v_days date[];
    v_campaigns text[];
begin
    perform 1 from lead
    where id in (select lead_id from delivery where id = any(p_deliveries))
    order by id for no key update;
    perform 1 from delivery where id = any(p_deliveries) order by id for no key update;
    perform 1 from company
    where id in (select company_id from delivery where id = any(p_deliveries))
    order by id for no key update;
    for i in 1 .. cardinality(p_deliveries) loop
        v_state := p_states[i];
        select * into d from delivery where id = p_deliveries[i] and state = 'open';
        if not found then continue; end if;
        select seller_id into v_seller from lead
        where id = d.lead_id and owner = p_owner and finished_at is null;
        if not found then continue; end if;
        update delivery set state = v_state, reason = p_reasons[i], kind = p_kinds[i],
            reference = p_references[i], detail = p_details[i], attempts = p_attempts[i],
            done_at = p_at[i]
        where id = d.id;
        update leg set state = p_leg_states[i],
            seller_cents = case when v_state = 'accepted' then d.seller_cents end
        where lead_id = d.lead_id and leg = d.leg and state = 'delivering';
        if not found then
            raise exception 'leg % of lead % cannot become %', d.leg, d.lead_id, p_leg_states[i];
        end if;
        settled := settled || i;
        companies := companies || d.company_id;
        if d.test then continue; end if;
        if v_state = 'accepted' then
            insert into sale (delivery_id, lead_id, leg, company_id, campaign_id, seller_id,
                              charged, seller_cents, margin, day, era, sold_at, window_closes_at)
            values (d.id, d.lead_id, d.leg, d.company_id, d.campaign_id, v_seller, d.charged,
                    d.seller_cents, d.charged - d.seller_cents, d.day, d.era, p_at[i],
                    p_closes_at[i]);
            insert into ledger_entry (key, account, cents, at) values
                ('sale:' || d.id, 'company:' || d.company_id, -d.charged, p_at[i]),
                ('sale:' || d.id, 'seller:' || v_seller, d.seller_cents, p_at[i]),
                ('sale:' || d.id, 'operator', d.charged - d.seller_cents, p_at[i]);
            perform add_to_bucket(d.company_id, d.day, d.era, d.charged, 0, 0);
        else
            update usage set leads = leads - 1, spend = spend - d.charged
            where campaign_id = d.campaign_id
              and starts_at <= d.reserved_at and d.reserved_at < ends_at;
            if v_state in ('failed', 'unclear') then
                insert into rejection (id, delivery_id, lead_id, company_id, kind, reason, value,
                                       day, era, rejected_at)
                values (d.id, d.id, d.lead_id, d.company_id, 'crm', p_reasons[i], d.charged, d.day,
                        d.era, p_at[i]);
                perform add_to_bucket(d.company_id, d.day, d.era, d.charged, 0, d.charged);
            end if;
        end if;
        update company set
            held = held - d.charged,
            balance = balance - case when v_state = 'accepted' then d.charged else 0 end,
            era_assigned = era_assigned
                + case when v_state <> 'refused' and era = d.era then d.charged else 0 end
        where id = d.company_id;
        v_touched := v_touched || d.company_id;
        v_days := v_days || d.day;
        v_campaigns := v_campaigns || d.campaign_id;
    end loop;
    if v_touched is null then return; end if;
    update company set version = version + 1, changed_at = clock_timestamp()
    where id = any(v_touched);
    changes := company_changes(v_touched, v_days, v_campaigns,
                               (select max(at) from unnest(p_at) at));
end $$;

-- Closes leads with their answers. Gives the places of those closed: not those finished before, or
-- another worker's. A lead's state is made of its legs as they are now: one sold early may have
-- been returned since. p_order is the lifecycle's: the first state of it that any leg is in is the
-- lead's. p_leg_leads says whose leg each is that ends unsold.
create function finish_leads(
    p_owner text, p_leads text[], p_answers bytea[], p_at timestamptz[],
    p_leg_leads integer[], p_legs integer[], p_states text[], p_order text[],
    out finished integer[]
) language plpgsql set plan_cache_mode = force_generic_plan as $$
begin
    perform 1 from lead where id = any(p_leads) order by id for no key update;
    select array_agg(l.nth::integer) into finished
    from unnest(p_leads) with ordinality as l (id, nth) join lead on lead.id = l.id
    where lead.owner = p_owner and lead.finished_at is null;
    update leg set state = ended.state
    from unnest(p_leg_leads, p_legs, p_states) as ended (lead, leg, state)
    where ended.lead = any(finished) and leg.lead_id = p_leads[ended.lead]
      and leg.leg = ended.leg and leg.state in ('received', 'delivering');
    update lead set answer = l.answer, finished_at = l.at, state = (
        select leg.state from leg where leg.lead_id = lead.id
        order by array_position(p_order, leg.state) limit 1)
    from unnest(p_leads, p_answers, p_at) with ordinality as l (id, answer, at, nth)
    where l.nth = any(finished) and lead.id = l.id;
end $$;
