-- A year of leads drawn one by one, and summed up by the summaries' own cuts.

-- name: accounts
-- Ids as long as real ones.
create table bench_seller as
select n, md5('seller' || n)::uuid::text as id from generate_series(0, 24) n;
create table bench_company as
select n, md5('company' || n)::uuid::text as id from generate_series(0, 99) n;
create unlogged table bench_drawn (
    id text, day date, at timestamptz, seller text, company text, vertical text, source text,
    area text, outcome text, charged bigint, pay bigint, reason integer
);
insert into seller (id, name, created_at) select id, 'seller ' || n, now() from bench_seller;
insert into company (id, name, created_at) select id, 'company ' || n, now() from bench_company;

-- name: draw
-- $1 the day, $2 how many leads. Every seller trades two of four verticals, every company in two;
-- the low numbers trade most. 20 sources a seller, 50 states.
insert into bench_drawn
select md5($1::date::text || d.n), $1, $1::timestamp at time zone 'UTC' + d.n * interval '1 second',
       s.id, c.id, (array['auto_insurance', 'home_improvement', 'mortgage', 'solar'])[d.vertical],
       'sub-' || d.source, 'S' || d.area, d.outcome, d.charged, d.charged - round(d.charged * 0.15),
       case d.outcome when 'refused' then 411 when 'unsold' then 410
            when 'failed' then 511 + d.pick % 5
            when 'returned' then (array[501, 502, 503, 504, 505, 521, 522])[1 + d.pick % 7] end
from (
    select n, floor(25 * power(random(), 1.7))::integer as seller,
           floor(25 * power(random(), 1.7))::integer as company_of_four,
           1 + floor(2 * random())::integer as half, floor(20 * power(random(), 2))::integer as source,
           floor(50 * power(random(), 1.5))::integer as area,
           (500 + floor(15000 * random()))::bigint as charged,
           floor(1000 * random())::integer as pick,
           (array['sold', 'sold', 'sold', 'sold', 'sold', 'sold', 'sold', 'sold', 'sold', 'sold',
                  'returned', 'refused', 'failed', 'unsold', 'unsold', 'unsold'])
               [1 + floor(16 * random())::integer] as outcome, 0 as vertical_of
    from generate_series(1, $2::integer) n
) drawn
cross join lateral (
    select drawn.*, 1 + (drawn.seller + drawn.half) % 4 as vertical,
           (drawn.company_of_four * 4 + (drawn.seller + drawn.half + drawn.pick % 2) % 4) as company
) d
join bench_seller s on s.n = d.seller join bench_company c on c.n = d.company

-- name: keep
-- What was drawn, as summaries: the same facts a lead, its delivery and its rejection are.
insert into day_summary
select cut.level, cut.axis, cut.party, f.day, f.vertical, cut.value, sum(f.posts), sum(f.sold),
       sum(f.sales), sum(f.charged)::bigint, sum(f.pay)::bigint, sum(f.manual),
       sum(f.manual_cents)::bigint, sum(f.manual_pay)::bigint, sum(f.crm),
       sum(f.crm_cents)::bigint, sum(f.refused), sum(f.refused_cents)::bigint
from bench_drawn d, lateral (
    select d.day, d.vertical, null as company, d.seller, d.source, d.area, null as contract,
           case when d.outcome in ('sold', 'returned') then null else '410' end as reason,
           1 as posts, (d.outcome in ('sold', 'returned'))::integer as sold, 0 as sales,
           0::bigint as charged, 0::bigint as pay, 0 as manual, 0::bigint as manual_cents,
           0::bigint as manual_pay, 0 as crm, 0::bigint as crm_cents, 0 as refused,
           0::bigint as refused_cents
    union all
    select d.day, d.vertical, d.company, d.seller, d.source, d.area, 'none',
           case when d.outcome = 'refused' then d.reason::text end, 0, 0,
           (d.outcome in ('sold', 'returned'))::integer,
           case when d.outcome in ('sold', 'returned') then d.charged else 0 end,
           case when d.outcome in ('sold', 'returned') then d.pay else 0 end, 0, 0, 0, 0, 0,
           (d.outcome = 'refused')::integer,
           case when d.outcome = 'refused' then d.charged else 0 end
    where d.outcome in ('sold', 'returned', 'refused')
    union all
    select d.day, d.vertical, d.company, d.seller, d.source, d.area, 'none', d.reason::text, 0, 0,
           0, 0, 0, (d.outcome = 'returned')::integer,
           case when d.outcome = 'returned' then d.charged else 0 end,
           case when d.outcome = 'returned' then d.pay else 0 end, (d.outcome = 'failed')::integer,
           case when d.outcome = 'failed' then d.charged else 0 end, 0, 0
    where d.outcome in ('returned', 'failed')
) f, summary_cuts(f.company, f.seller, f.reason, f.area, f.source, f.contract) cut
group by cut.level, cut.axis, cut.party, f.day, f.vertical, cut.value

-- name: raw_leads
-- What was drawn, as rows of the books: the way the exchange leaves them.
insert into lead (id, ping_id, seller_id, vertical, test, idempotency_key, body_hash, offer,
                  contact, contact_key_id, contact_keys, owner, state, received_at, deadline_at,
                  finished_at, answer)
select id, id, seller, vertical, false, id, '', convert_to(json_build_object(
           'attributes', json_build_object('state', area, 'zip', '94107', 'credit_score', 700),
           'source', json_build_object('sub_id', source), 'ranks', repeat('x', 1200))::text, 'UTF8'),
       '', 1, '{}', 'bench', 'final', at, at, at,
       convert_to(case when outcome in ('sold', 'returned') then '{"status":"sold"}'
                  else '{"status":"unsold","reason":410}' end, 'UTF8')
from bench_drawn

-- name: raw_deliveries
insert into delivery (id, lead_id, leg, place, company_id, campaign_id, state, test, charged,
                      seller_cents, day, era, reserved_at, done_at, reason)
select id, id, 0, 0, company, 'bench',
       case outcome when 'refused' then 'refused' when 'failed' then 'failed' else 'accepted' end,
       false, charged, pay, day, 0, at, at,
       case when outcome in ('refused', 'failed') then reason end
from bench_drawn where outcome <> 'unsold'

-- name: raw_sales
insert into sale (delivery_id, lead_id, leg, company_id, campaign_id, seller_id, charged,
                  seller_cents, margin, day, era, sold_at, window_closes_at)
select id, id, 0, company, 'bench', seller, charged, pay, charged - pay, day, 0, at, at
from bench_drawn where outcome in ('sold', 'returned')

-- name: raw_rejections
insert into rejection (id, delivery_id, lead_id, company_id, kind, reason, value, day, era,
                       rejected_at)
select id, id, id, company, case outcome when 'returned' then 'manual' else 'crm' end, reason,
       charged, day, 0, at
from bench_drawn where outcome in ('returned', 'failed')

-- name: pings
-- $1 a day: pings as summaries, at full cardinality; their counts are drawn, not pinged.
insert into day_ping
select 'seller', axis, 'day', s.id, $1::date, v.name, value, 100 + floor(400 * random()), floor(90 * random()),
       floor(9 * random()), floor(100000 * random()), 0, 0, floor(900 * random())
from bench_seller s
join lateral (select name from unnest(array['auto_insurance', 'home_improvement', 'mortgage', 'solar'])
    with ordinality as v (name, nth) where nth in (1 + (s.n + 1) % 4, 1 + (s.n + 2) % 4)) v on true
cross join lateral (
    select '' as axis, '' as value
    union all select 'area', 'S' || n from generate_series(0, 49) n
    union all select 'source', 'sub-' || n from generate_series(0, 19) n
    union all select 'reason', n::text from unnest(array[107, 150, 201, 202, 203, 204, 205, 206,
        207, 208, 209, 210, 220, 301, 302, 303, 304, 306]) n
) cut
union all
select 'company', axis, 'day', c.id, $1::date, v.name, value, 100 + floor(400 * random()), 0, 0, 0,
       floor(90 * random()), floor(9 * random()), 0
from bench_company c
join lateral (select name from unnest(array['auto_insurance', 'home_improvement', 'mortgage', 'solar'])
    with ordinality as v (name, nth) where nth in (1 + c.n % 4, 1 + (c.n + 1) % 4)) v on true
cross join lateral (
    select '' as axis, '' as value
    union all select 'reason', n::text from unnest(array[201, 202, 203, 204, 205, 206, 207, 208,
        209, 210, 220, 301, 302, 303, 304, 306]) n
) cut

-- name: longer
-- The weeks and months of the pings drawn.
insert into day_ping
select level, axis, g.grain, party, date_trunc(g.grain, day::timestamp)::date, vertical, value,
       sum(pings), sum(offers), sum(refused), sum(cents), sum(bids), sum(won), sum(campaigns)
from day_ping, (values ('week'), ('month')) g (grain)
where day_ping.grain = 'day'
group by 1, 2, 3, 4, 5, 6, 7
