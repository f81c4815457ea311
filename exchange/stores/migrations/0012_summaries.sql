-- Day summaries, which reports read: what a day came to for the market, each company and each seller.
-- The truth stays in lead, delivery, sale and rejection. Each finished lead and each rejection is
-- noted in summary_todo by the transaction that makes it, and counted once by the transaction that
-- takes the note away: after any crash a fact is noted, or counted, never both and never neither.
-- Pings are counted with the batch of receipts that tells of them, in the same transaction.

-- level: market, company, seller; party is '' for the market. axis: '' for all, or what value is of:
-- reason (its number), area, source (a seller's sub_id), contract (its kind).
-- A lead is counted as posted on the day it was posted, and sold, refused or rejected on the day it
-- was assigned (rules §4), in the market's timezone. Money is cents.
create table day_summary (
    level text not null check (level in ('market', 'company', 'seller')),
    axis text not null check (axis in ('', 'reason', 'area', 'source', 'contract')),
    party text not null,
    day date not null,
    vertical text not null,
    value text not null,
    posts bigint not null default 0,          -- leads posted
    sold bigint not null default 0,           -- of them, sold to somebody
    sales bigint not null default 0,          -- legs sold
    charged bigint not null default 0,
    pay bigint not null default 0,            -- the seller's part of what was charged
    manual bigint not null default 0,         -- returned by companies, those under review too
    manual_cents bigint not null default 0,   -- credited to them: none of it under review
    manual_pay bigint not null default 0,     -- taken back from sellers
    crm bigint not null default 0,            -- failed for good; never charged
    crm_cents bigint not null default 0,
    refused bigint not null default 0,        -- by the company at the post; never charged
    refused_cents bigint not null default 0,
    review bigint not null default 0,         -- of manual, under review
    review_cents bigint not null default 0,   -- their value: in the rates, not credited
    primary key (level, axis, party, day, vertical, value)
);
create index day_summary_day on day_summary (day);
-- Of a company's rows by reason, most tell of returns; savings ask for refusals alone.
create index day_summary_refused on day_summary (party, day)
    where level = 'company' and axis = 'reason' and refused > 0;

-- What is not yet counted: a finished lead, or a rejection as it came to stand (sign 1) or stood
-- until then (-1). A note says itself for what it counts: the row it is of may have changed since.
create table summary_todo (
    lead_id text,
    rejection_id text,
    status text,
    reason integer,
    sign integer not null default 1 check (sign in (1, -1)),
    check ((lead_id is null) <> (rejection_id is null)),
    check ((rejection_id is null) = (status is null) and (rejection_id is null) = (reason is null))
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

create function note_lead() returns trigger language plpgsql as $$
begin
    insert into summary_todo (lead_id) values (new.id);
    return null;
end $$;
create trigger lead_sold_at_once after insert on lead for each row
    when (new.finished_at is not null and not new.test) execute function note_lead();
create trigger lead_finished after update of finished_at on lead for each row
    when (old.finished_at is null and new.finished_at is not null and not new.test)
    execute function note_lead();

-- What was declined or reversed counts for nothing.
create function note_rejection() returns trigger language plpgsql as $$
begin
    insert into summary_todo (rejection_id, status, reason, sign)
    select * from (values (old.id, old.status, old.reason, -1),
                          (new.id, new.status, new.reason, 1)) as note (id, status, reason, sign)
    where note.status in ('accepted', 'in_review');
    return null;
end $$;
create trigger rejection_booked after insert on rejection for each row
    execute function note_rejection();
create trigger rejection_changed after update of status, reason on rejection for each row
    when ((new.status, new.reason) is distinct from (old.status, old.reason))
    execute function note_rejection();

-- What stood before there were summaries.
insert into summary_todo (lead_id) select id from lead where finished_at is not null and not test;
insert into summary_todo (rejection_id, status, reason)
select id, status, reason from rejection where status in ('accepted', 'in_review');

-- Bytes that are no JSON count as nothing known: one lead must not keep all others from counting.
create function json_of(p_bytes bytea) returns jsonb language plpgsql immutable as $$
begin
    return convert_from(p_bytes, 'UTF8')::jsonb;
exception when data_exception then
    return '{}';
end $$;

-- The kind of contract a sale was made under: that of the version in force when the lead was
-- offered, which nothing changes later.
create function contract_kind(p_delivery text) returns text language plpgsql stable as $$
declare
    v_seller text;
    v_company text;
    v_offer bytea;
    v_at timestamptz;
    v_kind text;
begin
    select l.seller_id, d.company_id, l.offer into v_seller, v_company, v_offer
    from delivery d join lead l on l.id = d.lead_id where d.id = p_delivery;
    if not exists (select 1 from contract_version
                   where seller_id = v_seller and company_id = v_company) then
        return 'none';
    end if;
    v_at := (json_of(v_offer) ->> 'decided_at')::timestamptz;
    select case when effective_to <= v_at then 'none'
                when coalesce((clauses ->> 'discount_bp')::integer, 0) > 0 then 'discount'
                else 'quality' end
    into v_kind
    from contract_version
    where seller_id = v_seller and company_id = v_company and effective_from <= v_at
    order by number desc limit 1;
    return coalesce(v_kind, 'none');
end $$;

-- The rows of the summary that one fact counts in: none by what is null.
create function summary_cuts(
    p_company text, p_seller text, p_reason text, p_area text, p_source text, p_contract text
) returns table (level text, axis text, party text, value text) language sql immutable as $$
    select * from (values
        ('market', '', '', ''), ('company', '', p_company, ''), ('seller', '', p_seller, ''),
        ('market', 'reason', '', p_reason), ('company', 'reason', p_company, p_reason),
        ('seller', 'reason', p_seller, p_reason),
        ('market', 'area', '', p_area), ('company', 'area', p_company, p_area),
        ('seller', 'area', p_seller, p_area), ('seller', 'source', p_seller, p_source),
        ('market', 'contract', '', p_contract), ('company', 'contract', p_company, p_contract),
        ('seller', 'contract', p_seller, p_contract)
    ) as cut (level, axis, party, value)
    where cut.party is not null and cut.value is not null
$$;

-- What these leads and these notes of rejections add to the summaries; with p_day, to that day
-- alone. Money is what the ledger moved: a return under review moves none.
create function summary_rows(
    p_leads text[], p_rejections summary_todo[], p_zone text, p_day date
) returns setof day_summary language sql stable as $$
    with known as (
        select l.id, l.seller_id, l.vertical, l.received_at, l.answer,
               coalesce(left(o.offer -> 'source' ->> 'sub_id', 64), '') as source,
               coalesce(left(o.offer -> 'attributes' ->> 'state', 64), '') as area
        from lead l, lateral (select json_of(l.offer) as offer offset 0) o
        where l.id = any(p_leads) and l.finished_at is not null and not l.test
    ), booked as (
        select r.kind, r.value, r.day, r.company_id, r.delivery_id, note.reason, note.sign,
               case when note.status = 'accepted' then note.sign else 0 end as paid,
               l.seller_id, l.vertical, coalesce(s.seller_cents, 0) as pay,
               coalesce(left(o.offer -> 'source' ->> 'sub_id', 64), '') as source,
               coalesce(left(o.offer -> 'attributes' ->> 'state', 64), '') as area
        from unnest(p_rejections) as note
        join rejection r on r.id = note.rejection_id
        join lead l on l.id = r.lead_id
        left join sale s on s.delivery_id = r.delivery_id,
        lateral (select json_of(l.offer) as offer offset 0) o
    ), parts as (
        select (known.received_at at time zone p_zone)::date as day, known.vertical,
               null as company, known.seller_id as seller, known.source, known.area,
               null as contract, case when a.answer ->> 'status' = 'sold' then null
                                      else a.answer ->> 'reason' end as reason,
               1 as posts, case when a.answer ->> 'status' = 'sold' then 1 else 0 end as sold,
               0 as sales, 0::bigint as charged, 0::bigint as pay,
               0 as manual, 0::bigint as manual_cents, 0::bigint as manual_pay,
               0 as crm, 0::bigint as crm_cents, 0 as refused, 0::bigint as refused_cents,
               0 as review, 0::bigint as review_cents
        from known, lateral (select json_of(known.answer) as answer offset 0) a
        union all
        select d.day, known.vertical, d.company_id, known.seller_id, known.source, known.area,
               contract_kind(d.id), case when d.state = 'refused' then d.reason::text end,
               0, 0, (d.state = 'accepted')::integer,
               case when d.state = 'accepted' then d.charged else 0 end,
               case when d.state = 'accepted' then d.seller_cents else 0 end,
               0, 0, 0, 0, 0, (d.state = 'refused')::integer,
               case when d.state = 'refused' then d.charged else 0 end, 0, 0
        from known join delivery d on d.lead_id = known.id
        where d.state in ('accepted', 'refused') and not d.test
        union all
        select day, vertical, company_id, seller_id, source, area, contract_kind(delivery_id),
               reason::text, 0, 0, 0, 0, 0,
               case when kind = 'manual' then sign else 0 end,
               case when kind = 'manual' then paid * value else 0 end,
               case when kind = 'manual' then paid * pay else 0 end,
               case when kind = 'crm' then sign else 0 end,
               case when kind = 'crm' then sign * value else 0 end, 0, 0,
               sign - paid, (sign - paid) * value
        from booked
    )
    select cut.level, cut.axis, cut.party, parts.day, parts.vertical, cut.value,
           sum(posts), sum(sold), sum(sales), sum(charged)::bigint, sum(pay)::bigint,
           sum(manual), sum(manual_cents)::bigint, sum(manual_pay)::bigint,
           sum(crm), sum(crm_cents)::bigint, sum(refused), sum(refused_cents)::bigint,
           sum(review), sum(review_cents)::bigint
    from parts, summary_cuts(company, seller, reason, area, source, contract) as cut
    where p_day is null or parts.day = p_day
    group by cut.level, cut.axis, cut.party, parts.day, parts.vertical, cut.value
$$;

-- What a day comes to by the facts, less what is noted and not yet counted.
create function summary_of_day(p_day date, p_zone text)
returns setof day_summary language plpgsql stable as $$
declare
    v_leads text[];
    v_rejections summary_todo[];
begin
    select array_agg(id) into v_leads from (
        select l.id from lead l
        where l.received_at >= p_day::timestamp at time zone p_zone
          and l.received_at < (p_day + 1)::timestamp at time zone p_zone
        union
        select d.lead_id from company c join delivery d on d.company_id = c.id
        where d.day = p_day
    ) touched
    where not exists (select 1 from summary_todo t where t.lead_id = touched.id);
    select array_agg(row(null, id, status, reason, sign)::summary_todo) into v_rejections from (
        select id, status, reason, 1 as sign from rejection
        where company_id in (select c.id from company c) and day = p_day
          and status in ('accepted', 'in_review')
        union all
        select r.id, t.status, t.reason, -t.sign
        from summary_todo t join rejection r on r.id = t.rejection_id
        where r.day = p_day
    ) counted;
    return query select * from summary_rows(v_leads, v_rejections, p_zone, p_day);
end $$;

-- Makes a day's summary anew. The caller runs it alone in a repeatable-read transaction, so that
-- the notes left out are those of the same moment as the facts.
create function rebuild_day(p_day date, p_zone text) returns integer language plpgsql as $$
declare
    v_rows integer;
begin
    delete from day_summary where day = p_day;
    insert into day_summary select * from summary_of_day(p_day, p_zone);
    get diagnostics v_rows = row_count;
    return v_rows;
end $$;

-- Counts up to p_limit of what is noted; gives how many. One at a time: -1 where another is at it.
create function summarise(p_zone text, p_limit integer) returns integer language plpgsql as $$
declare
    v_leads text[];
    v_rejections summary_todo[];
    v_count integer;
begin
    if not pg_try_advisory_xact_lock(7260413) then return -1; end if;
    with gone as (
        delete from summary_todo
        where ctid = any(array(select ctid from summary_todo limit p_limit))
        returning *
    )
    select array_agg(lead_id) filter (where lead_id is not null),
           array_agg(row(gone.*)::summary_todo) filter (where rejection_id is not null), count(*)
    into v_leads, v_rejections, v_count
    from gone;
    if v_count = 0 then return 0; end if;
    insert into day_summary as s
    select * from summary_rows(v_leads, v_rejections, p_zone, null)
    on conflict (level, axis, party, day, vertical, value) do update set
        posts = s.posts + excluded.posts, sold = s.sold + excluded.sold,
        sales = s.sales + excluded.sales, charged = s.charged + excluded.charged,
        pay = s.pay + excluded.pay, manual = s.manual + excluded.manual,
        manual_cents = s.manual_cents + excluded.manual_cents,
        manual_pay = s.manual_pay + excluded.manual_pay,
        crm = s.crm + excluded.crm, crm_cents = s.crm_cents + excluded.crm_cents,
        refused = s.refused + excluded.refused,
        refused_cents = s.refused_cents + excluded.refused_cents,
        review = s.review + excluded.review,
        review_cents = s.review_cents + excluded.review_cents;
    return v_count;
end $$;

-- Pings by day. level seller: all of a seller's; company: those a receipt names the company in, each
-- once, by the reason that came nearest to a bid. axis as above, '' for all. These rows are many, so
-- each is also kept for the week (from Monday) and the month its day lies in, under their first day.
create table day_ping (
    level text not null check (level in ('company', 'seller')),
    axis text not null check (axis in ('', 'reason', 'area', 'source')),
    grain text not null check (grain in ('day', 'week', 'month')),
    party text not null,
    day date not null,
    vertical text not null,
    value text not null,
    pings bigint not null,
    offers bigint not null,       -- seller: offers given
    refused bigint not null,      -- seller: refused whole
    cents bigint not null,        -- seller: the sum of the offers' prices
    bids bigint not null,         -- company: pings it had a price for
    won bigint not null,          -- company: pings it came first on
    campaigns bigint not null,    -- by reason: campaigns it kept out or behind
    primary key (level, axis, grain, party, day, vertical, value)
);
create index day_ping_days on day_ping (level, axis, grain, day);

-- What the pings of one batch of receipts add to day_ping; folded into it and forgotten.
-- lines are thirteen columns: level, axis, party, day, vertical, value, pings, offers, refused,
-- cents, bids, won, campaigns; each a text whose values are apart by the unit separator (U+001F).
create table ping_tally (lines text[] not null) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Writes receipts and what they add up to. Ids, times (microseconds since 1970), places and sizes
-- are apart by commas, and the bodies one behind the other: arrays cost a worker more to write.
-- Where one stands already, nothing is written and the
-- error XR001 raised: the caller leaves those out that stand, and counts the others anew.
create function put_receipts(
    p_pings text, p_sellers text, p_at text, p_starts text, p_sizes text, p_bodies bytea,
    p_lines text[]
) returns void language plpgsql set plan_cache_mode = force_generic_plan as $$
declare
    v_written integer;
begin
    insert into receipt (ping_id, seller_id, decided_at, body)
    select ping, seller, 'epoch'::timestamptz + at * interval '1 microsecond',
           substr(p_bodies, start, size)
    from unnest(string_to_array(p_pings, ','), string_to_array(p_sellers, ','),
                string_to_array(p_at, ',')::bigint[], string_to_array(p_starts, ',')::integer[],
                string_to_array(p_sizes, ',')::integer[])
        as t (ping, seller, at, start, size)
    on conflict (ping_id) do nothing;
    get diagnostics v_written = row_count;
    if v_written <> cardinality(string_to_array(p_pings, ',')) then
        raise exception 'some of these receipts stand already' using errcode = 'XR001';
    end if;
    if p_lines[1] <> '' then insert into ping_tally values (p_lines); end if;
end $$;

-- Folds up to p_limit tallies into day_ping; gives how many. One at a time, as above.
create function fold_pings(p_limit integer) returns integer language plpgsql as $$
declare
    v_count integer;
begin
    if not pg_try_advisory_xact_lock(7260413) then return -1; end if;
    with gone as (
        delete from ping_tally
        where ctid = any(array(select ctid from ping_tally limit p_limit))
        returning *
    ), folded as (
        insert into day_ping as s
        select t.level, t.axis, g.grain, t.party, date_trunc(g.grain, t.day::timestamp)::date,
               t.vertical, t.value, sum(t.pings)::bigint, sum(t.offers)::bigint,
               sum(t.refused)::bigint, sum(t.cents)::bigint, sum(t.bids)::bigint,
               sum(t.won)::bigint, sum(t.campaigns)::bigint
        from gone, unnest(
                string_to_array(gone.lines[1], E'\x1f'), string_to_array(gone.lines[2], E'\x1f'),
                string_to_array(gone.lines[3], E'\x1f'),
                string_to_array(gone.lines[4], E'\x1f')::date[],
                string_to_array(gone.lines[5], E'\x1f'), string_to_array(gone.lines[6], E'\x1f'),
                string_to_array(gone.lines[7], E'\x1f')::bigint[],
                string_to_array(gone.lines[8], E'\x1f')::bigint[],
                string_to_array(gone.lines[9], E'\x1f')::bigint[],
                string_to_array(gone.lines[10], E'\x1f')::bigint[],
                string_to_array(gone.lines[11], E'\x1f')::bigint[],
                string_to_array(gone.lines[12], E'\x1f')::bigint[],
                string_to_array(gone.lines[13], E'\x1f')::bigint[])
            as t (level, axis, party, day, vertical, value, pings, offers, refused, cents, bids,
                  won, campaigns),
            (values ('day'), ('week'), ('month')) as g (grain)
        group by 1, 2, 3, 4, 5, 6, 7
        on conflict (level, axis, grain, party, day, vertical, value) do update set
            pings = s.pings + excluded.pings, offers = s.offers + excluded.offers,
            refused = s.refused + excluded.refused, cents = s.cents + excluded.cents,
            bids = s.bids + excluded.bids, won = s.won + excluded.won,
            campaigns = s.campaigns + excluded.campaigns
    )
    select count(*) into v_count from gone;
    return v_count;
end $$;
