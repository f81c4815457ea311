-- What reports are read from, by their names on the wire. All take $1 the party (null is all),
-- $2 and $3 the first and last day, $4 day, week or month, $5 the vertical (null is all), and then
-- what each names. $6 and $7 are where the whole weeks or months begin, and the day behind them:
-- pings are read from their rows, and from those of days before and behind. `rows` is how many rows
-- there are in all, on every one of them.

-- name: settings
-- For the transaction alone: room to add up in memory, and a plan for what is really asked.
select set_config('work_mem', '64MB', true), set_config('jit', 'off', true),
       set_config('plan_cache_mode', 'force_custom_plan', true)

-- name: monthly-impact
-- $8 level
with sums as (
    select date_trunc($4, day::timestamp)::date as period, sum(sales)::bigint as sales,
           sum(charged)::bigint as charged, sum(pay)::bigint as pay,
           sum(manual)::bigint as manual, sum(manual_cents)::bigint as manual_cents,
           sum(manual_pay)::bigint as manual_pay, sum(crm)::bigint as crm,
           sum(crm_cents)::bigint as crm_cents, sum(review_cents)::bigint as review_cents
    from day_summary
    where level = $8 and axis = '' and ($1::text is null or party = $1)
      and day between $2 and $3 and ($5::text is null or vertical = $5)
    group by 1
), gate as (
    select date_trunc($4, day::timestamp)::date as period,
           sum(pings) filter (where level = 'company')::bigint as gate_refused,
           sum(campaigns) filter (where level = 'seller')::bigint as gate_campaigns
    from day_ping
    where axis = 'reason' and value = '220'
      and (level = 'company' and ($1::text is null or party = $1)
           or level = 'seller' and $1::text is null)
      and ($5::text is null or vertical = $5)
      and (grain = 'day' and day between $2 and $3
             and ($6::date is null or day < $6 or day >= $7::date)
           or grain = $4 and day >= $6 and day < $7)
    group by 1
)
select *, count(*) over () as rows from sums full join gate using (period) order by period

-- name: savings
-- $8 the numbers of the reasons counted at the ping
with bought as (
    select date_trunc($4, day::timestamp)::date as period, party, sum(sales)::bigint as sales,
           sum(charged)::bigint as charged
    from day_summary
    where level = 'company' and axis = '' and ($1::text is null or party = $1)
      and day between $2 and $3 and ($5::text is null or vertical = $5)
    group by 1, 2
), refused as (
    select date_trunc($4, day::timestamp)::date as period, party, 'ping' as stage, value,
           sum(pings)::bigint as refused, null::bigint as cents
    from day_ping
    where level = 'company' and axis = 'reason' and value = any($8::text[])
      and ($1::text is null or party = $1)
      and ($5::text is null or vertical = $5)
      and (grain = 'day' and day between $2 and $3
             and ($6::date is null or day < $6 or day >= $7::date)
           or grain = $4 and day >= $6 and day < $7)
    group by 1, 2, 4
    union all
    select date_trunc($4, day::timestamp)::date, party, 'post', value, sum(s.refused)::bigint,
           sum(refused_cents)::bigint
    from day_summary s
    where level = 'company' and axis = 'reason' and s.refused > 0
      and ($1::text is null or party = $1)
      and day between $2 and $3 and ($5::text is null or vertical = $5)
    group by 1, 2, 4
)
select *, count(*) over () as rows from refused left join bought using (period, party)
order by period, party, stage, value

-- name: sell-through
with sums as (
    select date_trunc($4, day::timestamp)::date as period, party, sum(posts)::bigint as posts,
           sum(sold)::bigint as sold, sum(sales)::bigint as sales,
           sum(charged)::bigint as charged, sum(pay)::bigint as pay,
           sum(manual)::bigint as manual, sum(manual_cents)::bigint as manual_cents,
           sum(manual_pay)::bigint as manual_pay
    from day_summary
    where level = 'seller' and axis = '' and ($1::text is null or party = $1)
      and day between $2 and $3 and ($5::text is null or vertical = $5)
    group by 1, 2
), asked as (
    select date_trunc($4, day::timestamp)::date as period, party, sum(pings)::bigint as pings,
           sum(offers)::bigint as offers, sum(refused)::bigint as refused
    from day_ping
    where level = 'seller' and axis = '' and ($1::text is null or party = $1)
      and ($5::text is null or vertical = $5)
      and (grain = 'day' and day between $2 and $3
             and ($6::date is null or day < $6 or day >= $7::date)
           or grain = $4 and day >= $6 and day < $7)
    group by 1, 2
)
select *, count(*) over () as rows from sums full join asked using (period, party)
order by period, party

-- name: refusals-and-returns
-- $8 level, $9 axis, $10 whether pings are told
with sums as (
    select date_trunc($4, day::timestamp)::date as period,
           case when $9 = 'source' then party else '' end as party, value,
           sum(posts)::bigint as posts, sum(sold)::bigint as sold, sum(sales)::bigint as sales,
           sum(charged)::bigint as charged, sum(pay)::bigint as pay,
           sum(refused)::bigint as refused, sum(crm)::bigint as crm,
           sum(manual)::bigint as manual, sum(manual_cents)::bigint as manual_cents,
           sum(manual_pay)::bigint as manual_pay
    from day_summary
    where level = $8 and axis = $9 and ($1::text is null or party = $1)
      and day between $2 and $3 and ($5::text is null or vertical = $5)
    group by 1, 2, 3
), asked as (
    select date_trunc($4, day::timestamp)::date as period,
           case when $9 = 'source' then party else '' end as party, value,
           sum(pings)::bigint as pings, sum(refused)::bigint as pings_refused
    from day_ping
    where $10 and level = 'seller' and axis = $9 and ($1::text is null or party = $1)
      and ($5::text is null or vertical = $5)
      and (grain = 'day' and day between $2 and $3
             and ($6::date is null or day < $6 or day >= $7::date)
           or grain = $4 and day >= $6 and day < $7)
    group by 1, 2, 3
)
select *, count(*) over () as rows from sums full join asked using (period, party, value)
order by period, party, value

-- name: contracts
-- $6 level
select date_trunc($4, day::timestamp)::date as period, value, sum(sales)::bigint as sales,
       sum(charged)::bigint as charged, sum(pay)::bigint as pay, sum(manual)::bigint as manual,
       sum(manual_cents)::bigint as manual_cents, sum(manual_pay)::bigint as manual_pay,
       sum(review)::bigint as review, count(*) over () as rows
from day_summary
where level = $6 and axis = 'contract' and ($1::text is null or party = $1)
  and day between $2 and $3 and ($5::text is null or vertical = $5)
group by 1, 2 order by 1, 2

-- name: lost-bids
with named as (
    select date_trunc($4, day::timestamp)::date as period, party, value,
           sum(case when axis = '' then won else pings end)::bigint as pings,
           sum(case when axis = '' then pings else 0 end)::bigint as named
    from day_ping
    where level = 'company' and axis in ('', 'reason') and ($1::text is null or party = $1)
      and ($5::text is null or vertical = $5)
      and (grain = 'day' and day between $2 and $3
             and ($6::date is null or day < $6 or day >= $7::date)
           or grain = $4 and day >= $6 and day < $7)
    group by 1, 2, 3
), parts as (
    select period, party, value, pings,
           (sum(named) over (partition by period, party))::bigint as named
    from named
)
select *, count(*) over () as rows from parts where pings > 0 order by period, party, value

-- name: weekly-summary
-- $8 level
with sums as (
    select date_trunc($4, day::timestamp)::date as period, sum(posts)::bigint as posts,
           sum(sold)::bigint as sold, sum(sales)::bigint as sales,
           sum(charged)::bigint as charged, sum(pay)::bigint as pay,
           sum(manual)::bigint as manual, sum(manual_cents)::bigint as manual_cents,
           sum(manual_pay)::bigint as manual_pay, sum(crm)::bigint as crm,
           sum(crm_cents)::bigint as crm_cents, sum(review_cents)::bigint as review_cents,
           sum(refused)::bigint as refused_at_post
    from day_summary
    where level = $8 and axis = '' and ($1::text is null or party = $1)
      and day between $2 and $3 and ($5::text is null or vertical = $5)
    group by 1
), asked as (
    select date_trunc($4, day::timestamp)::date as period, sum(pings)::bigint as pings,
           sum(offers)::bigint as offers, sum(bids)::bigint as bids, sum(won)::bigint as won
    from day_ping
    where level = case when $8 = 'company' then 'company' else 'seller' end and axis = ''
      and ($1::text is null or party = $1)
      and ($5::text is null or vertical = $5)
      and (grain = 'day' and day between $2 and $3
             and ($6::date is null or day < $6 or day >= $7::date)
           or grain = $4 and day >= $6 and day < $7)
    group by 1
)
select * from sums full join asked using (period) order by period

-- name: market-comparison
with each as (
    select date_trunc($4, day::timestamp)::date as period, vertical, party,
           sum(sales)::bigint as sales, sum(charged)::bigint as charged,
           sum(manual_cents + review_cents)::bigint as returned_cents,
           sum(crm_cents)::bigint as crm_cents
    from day_summary
    where level = 'company' and axis = ''
      and day between $2 and $3 and ($5::text is null or vertical = $5)
    group by 1, 2, 3
), market as (
    select period, vertical, sum(charged)::bigint as market_charged,
           sum(sales)::bigint as market_sales,
           sum(returned_cents)::bigint as market_returned_cents,
           sum(crm_cents)::bigint as market_crm_cents,
           count(*) filter (where sales > 0) as buyers
    from each group by 1, 2
)
select each.*, market_charged, market_sales, market_returned_cents, market_crm_cents,
       market.buyers - (each.sales > 0)::integer as others, count(*) over () as rows
from each join market using (period, vertical)
where ($1::text is null or party = $1)
order by each.period, each.vertical, each.party
