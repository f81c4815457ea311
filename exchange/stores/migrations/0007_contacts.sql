-- Contacts: which leads keep one from being sold again, and which ones companies do not want.
-- Source: rules §3.1 and §3.2.
-- What is made anew here takes more than it did: all workers of the version before must be stopped.

drop function claim_leads(
    text, text[], text[], text[], text[], boolean[], text[], bytea[], bytea[], bytea[], smallint[],
    text[], timestamptz[], timestamptz[], integer[], integer[], bigint[], integer[], text[],
    integer[], text[], text[], bigint[], bigint[], date[], timestamptz[], timestamptz[], text[],
    bytea[], integer[], text[], timestamptz[], bigint[], bigint[]);
drop function reserve_deliveries(
    text, text[], text[], integer[], integer[], text[], text[], boolean[], bigint[], bigint[],
    date[], timestamptz[], integer[], text[], timestamptz[], timestamptz[], bigint[], bigint[]);

-- Leads by the keyed hashes of their contact, of which there are two at most. The indexes hold eight
-- bytes of each hash; what they find is compared whole.
create index lead_contact_first on lead (hashtextextended(contact_keys[1], 0)) where not test;
create index lead_contact_second on lead (hashtextextended(contact_keys[2], 0))
    where not test and contact_keys[2] is not null;
alter table lead add constraint lead_contact_keys check (cardinality(contact_keys) <= 2) not valid;

-- A company's suppression list. A list that replaces another is loading until it is whole; one that
-- was replaced or deleted is gone, and dropped piece by piece. number stands for the list in the
-- fast store; version grows with every change of its entries, so that a copy that missed one shows.
-- contacts is what is told of the list: a bare hash is kept under two keys, and counts once.
create table suppression_list (
    number integer generated always as identity primary key,
    company_id text not null references company (id),
    state text not null check (state in ('loading', 'current', 'gone')),
    contacts bigint not null default 0 check (contacts >= 0),
    keys bigint not null default 0 check (keys >= contacts),
    version bigint not null default 0,
    changed_at timestamptz not null,
    touched_at timestamptz not null default clock_timestamp()
);
create unique index suppression_list_current on suppression_list (company_id)
    where state = 'current';
create index suppression_list_past on suppression_list (touched_at) where state <> 'current';

-- key is the keyed hash of a contact's field.
create table suppression (
    list integer not null,
    key bytea not null,
    primary key (list, key)
);

-- A lead that shares a key with the nth contact of a question.
create type contact_lead as (nth integer, lead_id text, seller_id text, finished_at timestamptz);

-- Leads open or sold that share a key with a contact (its keys apart by spaces) and are not p_pings'
-- own; null if there are none. Test leads are none of anybody's.
-- Always by the indexes: these tables grow faster than their statistics are taken.
create function leads_of_contacts(p_pings text[], p_contacts text[])
returns contact_lead[] language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
begin
    return (
        select array_agg(row(found.nth, found.id, found.seller_id, found.finished_at)::contact_lead)
        from (
            select c.nth::integer, l.*
            from unnest(p_contacts) with ordinality as c (keys, nth),
            unnest(string_to_array(c.keys, ' ')) as key,
            lateral (
                select id, ping_id, seller_id, state, finished_at from lead
                where not test and hashtextextended(contact_keys[1], 0) = hashtextextended(key, 0)
                  and contact_keys[1] = key
                union all
                select id, ping_id, seller_id, state, finished_at from lead
                where not test and contact_keys[2] is not null
                  and hashtextextended(contact_keys[2], 0) = hashtextextended(key, 0)
                  and contact_keys[2] = key
            ) as l
            where l.finished_at is null or l.state in ('sold', 'rejected', 'final')
        ) as found
        where found.ping_id is distinct from p_pings[found.nth]);
end $$;

-- Why companies are not to have the leads of contacts, if they are not: 'suppressed' (the contact is
-- on the company's list, whose leads of it tests are too), 'sold_before' (it bought a lead of this
-- contact within p_days, or is being handed one), or null. p_of says whose contact is each
-- company's; p_others are the other leads of the contacts.
-- To be called under the companies' row locks: what a company is being handed is settled by them.
create function contact_bars(
    p_companies text[], p_of integer[], p_contacts text[], p_tests boolean[], p_at timestamptz[],
    p_others contact_lead[], p_days integer
) returns text[] language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
    v_suppressed integer[];
    v_bought integer[];
begin
    if exists (select 1 from suppression_list where state = 'current') then
        select array_agg(asked.nth::integer) into v_suppressed
        from unnest(p_companies, p_of) with ordinality as asked (company_id, contact, nth)
        join suppression_list s on s.company_id = asked.company_id and s.state = 'current'
        where exists (
            select 1 from suppression e
            where e.list = s.number and e.key = any(array(
                select decode(key, 'hex')
                from unnest(string_to_array(p_contacts[asked.contact], ' ')) as key)));
    end if;
    if p_days > 0 and p_others is not null then
        select array_agg(asked.nth::integer) into v_bought
        from unnest(p_companies, p_of) with ordinality as asked (company_id, contact, nth)
        join unnest(p_others) as other on other.nth = asked.contact
        join delivery d on d.lead_id = other.lead_id and d.company_id = asked.company_id
        where not p_tests[asked.contact] and d.state in ('open', 'accepted')
          and coalesce(d.done_at, p_at[asked.contact])
              > p_at[asked.contact] - make_interval(days => p_days);
    end if;
    if v_suppressed is null and v_bought is null then return null; end if;
    return (select array_agg(case when nth = any(v_suppressed) then 'suppressed'
                                  when nth = any(v_bought) then 'sold_before' end order by nth)
            from generate_subscripts(p_companies, 1) as nth);
end $$;

-- Writes leads down, and of those whose first company takes them for certain (nobody is to be asked)
-- and has room, the whole sale: delivery, ledger, window, answer. Whatever stops this transaction
-- leaves nothing of them.
-- Leads, their legs and their sales are arrays of their own; p_leg_leads and p_sale_leads say whose
-- each is. A lead with a sale has one leg. p_contact_keys are apart by spaces.
-- It decides whether a contact may be sold again: a lead is refused if another of its contact is
-- open or was sold within p_market_days (whoever sold it) or p_seller_days (the same seller); 0 is
-- off. It is written with the refusal as its answer: p_if_sold, or p_if_open where nothing of its
-- contact is sold yet. Nobody hears of it, and it keeps no other from being sold.
-- An advisory lock of each key, taken before everything else and in their order, is what makes this
-- one step: of two posts of a contact the second sees the first. No two leads of one call may share
-- a contact, for which the caller sees.
-- No sale is made to a company that bought the contact within p_company_days, or suppresses it: such
-- a lead is claimed only, and goes down the ranks.
-- Gives the places of the leads written, of the sales made, and the companies' changes; refused are
-- the places of leads written as refused, while_open whether by p_if_open.
create function claim_leads(
    p_owner text,
    p_leads text[], p_pings text[], p_sellers text[], p_verticals text[], p_tests boolean[],
    p_keys text[], p_hashes bytea[], p_offers bytea[], p_contacts bytea[],
    p_contact_key_ids smallint[], p_contact_keys text[], p_received timestamptz[],
    p_deadlines timestamptz[], p_if_sold bytea[], p_if_open bytea[],
    p_leg_leads integer[], p_legs integer[], p_promised bigint[],
    p_sale_leads integer[], p_deliveries text[], p_places integer[], p_companies text[],
    p_campaigns text[], p_charged bigint[], p_seller_cents bigint[], p_days date[],
    p_at timestamptz[], p_closes_at timestamptz[], p_kinds text[], p_answers bytea[],
    p_cap_sales integer[], p_periods text[], p_starts timestamptz[], p_most_leads bigint[],
    p_most_spend bigint[],
    p_market_days integer, p_seller_days integer, p_company_days integer,
    out claimed integer[], out sold integer[], out changes text[],
    out refused integer[], out while_open boolean[]
) language plpgsql set plan_cache_mode = force_generic_plan as $$
declare
    v_others contact_lead[];
    v_bars text[];
    v_refusals bytea[];
    v_bought text[];
begin
    if p_market_days > 0 or p_seller_days > 0 then
        perform pg_advisory_xact_lock(7260413, contact.lock)
        from (
            select distinct hashtext(key) as lock
            from unnest(p_contact_keys, p_tests) as l (keys, test),
            unnest(string_to_array(l.keys, ' ')) as key
            where not l.test
            order by lock
        ) as contact;
    end if;
    if greatest(p_market_days, p_seller_days, p_company_days) > 0 then
        v_others := leads_of_contacts(p_pings, p_contact_keys);
    end if;
    if v_others is not null then
        select array_agg(r.nth), array_agg(r.is_open) into refused, while_open
        from (
            select other.nth, bool_and(other.finished_at is null) as is_open
            from unnest(v_others) as other,
            lateral (
                select greatest(p_market_days, case when other.seller_id = p_sellers[other.nth]
                                                    then p_seller_days end) as days
            ) as w
            where not p_tests[other.nth] and w.days > 0
              and coalesce(other.finished_at, p_received[other.nth])
                  > p_received[other.nth] - make_interval(days => w.days)
            group by other.nth
        ) as r;
    end if;
    select array_agg(case when while_open[n] then p_if_open[refused[n]]
                          else p_if_sold[refused[n]] end order by n) into v_refusals
    from generate_subscripts(refused, 1) as n;
    if cardinality(p_companies) > 0 then
        perform 1 from company where id = any(p_companies) order by id for no key update;
        sold := sales_with_room(p_companies, p_campaigns, p_charged, p_cap_sales, p_periods,
                                p_starts, p_most_leads, p_most_spend);
        v_bars := contact_bars(p_companies, p_sale_leads, p_contact_keys, p_tests, p_received,
                               v_others, p_company_days);
        if v_bars is not null or refused is not null then
            select array_agg(s) into sold from unnest(sold) as s
            where v_bars[s] is null and not coalesce(p_sale_leads[s] = any(refused), false);
        end if;
    end if;
    with written as (
        insert into lead (id, ping_id, seller_id, vertical, test, idempotency_key, body_hash,
                          offer, contact, contact_key_id, contact_keys, owner, state, received_at,
                          deadline_at, finished_at, answer)
        select l.id, l.ping_id, l.seller_id, l.vertical, l.test, l.key, l.hash, l.offer, l.contact,
               l.contact_key_id, string_to_array(l.contact_keys, ' '), p_owner,
               case when r.nth is not null then 'invalid'
                    when s.answer is null then 'received' else 'sold' end,
               l.received_at, l.deadline_at,
               case when r.nth is not null then l.received_at else s.at end,
               coalesce(r.answer, s.answer)
        from unnest(p_leads, p_pings, p_sellers, p_verticals, p_tests, p_keys, p_hashes, p_offers,
                    p_contacts, p_contact_key_ids, p_contact_keys, p_received, p_deadlines)
            with ordinality as l (id, ping_id, seller_id, vertical, test, key, hash, offer, contact,
                                  contact_key_id, contact_keys, received_at, deadline_at, nth)
        left join unnest(p_sale_leads, p_at, p_answers) with ordinality as s (lead, at, answer, nth)
            on s.lead = l.nth and s.nth = any(sold)
        left join unnest(refused, v_refusals) as r (nth, answer) on r.nth = l.nth
        -- Two that write the same pings wait for each other in one order.
        order by l.ping_id
        on conflict do nothing
        returning id
    )
    select array_agg(l.nth::integer) into claimed
    from unnest(p_leads) with ordinality as l (id, nth) join written on written.id = l.id;
    if refused is not null then
        select array_agg(r.nth), array_agg(r.is_open) into refused, while_open
        from unnest(refused, while_open) as r (nth, is_open) where r.nth = any(claimed);
    end if;
    select array_agg(s.nth::integer), array_agg(distinct s.company_id) into sold, v_bought
    from unnest(p_sale_leads, p_companies) with ordinality as s (lead, company_id, nth)
    where s.nth = any(sold) and s.lead = any(claimed);
    insert into leg (lead_id, leg, state, promised, seller_cents)
    select p_leads[l.lead], l.leg,
           case when l.lead = any(refused) then 'invalid'
                when s.lead is null then 'received' else 'sold' end,
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
-- 'taken' (this delivery was settled before), why the company is not to have the lead's contact
-- ('suppressed', 'sold_before'), or why there is no room: inactive, balance, cap, budget. A delivery
-- that was written down already stands whatever its contact: its company may have heard of the lead.
-- p_cap_deliveries says whose cap each cap is. One contact twice for one company is for the caller
-- to ask one after the other: neither would see the other here.
create function reserve_deliveries(
    p_owner text, p_deliveries text[], p_leads text[], p_legs integer[], p_places integer[],
    p_companies text[], p_campaigns text[], p_tests boolean[], p_charged bigint[],
    p_seller_cents bigint[], p_days date[], p_at timestamptz[],
    p_cap_deliveries integer[], p_periods text[], p_starts timestamptz[], p_ends timestamptz[],
    p_most_leads bigint[], p_most_spend bigint[], p_company_days integer,
    out outcomes text[], out changes text[]
) language plpgsql set plan_cache_mode = force_generic_plan as $$
declare
    c company%rowtype;
    v_pings text[];
    v_contacts text[];
    v_bars text[];
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
    select array_agg(l.ping_id order by asked.nth),
           array_agg(array_to_string(l.contact_keys, ' ') order by asked.nth)
    into v_pings, v_contacts
    from unnest(p_leads) with ordinality as asked (id, nth) left join lead l on l.id = asked.id;
    if cardinality(p_leads) > 1 and p_company_days > 0 and exists (
        select 1
        from unnest(p_companies, p_leads, v_contacts, p_tests) as a (company_id, lead, keys, test),
        unnest(string_to_array(a.keys, ' ')) as key
        where not a.test
        group by a.company_id, key having count(distinct a.lead) > 1
    ) then
        raise exception 'a company is to have one contact twice in one transaction';
    end if;
    v_bars := contact_bars(
        p_companies, array(select generate_subscripts(p_leads, 1)), v_contacts, p_tests, p_at,
        case when p_company_days > 0 then leads_of_contacts(v_pings, v_contacts) end,
        p_company_days);
    for i in 1 .. cardinality(p_deliveries) loop
        perform 1 from lead where id = p_leads[i] and owner = p_owner and finished_at is null;
        if not found then outcomes[i] := 'lost'; continue; end if;
        select state into v_state from delivery where id = p_deliveries[i];
        if found then
            outcomes[i] := case when v_state = 'open' then 'reserved' else 'taken' end;
            continue;
        end if;
        if v_bars[i] is not null then outcomes[i] := v_bars[i]; continue; end if;
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
