-- What an auction of a past moment was decided by, from rows that stand for facts and from the
-- versions that are kept.

-- name: campaigns_at
-- The newest version of each campaign up to a version ($1), or where that is 0 up to a time ($2).
-- What was in force at the time was replaced later: $3 is somewhat before it, for clocks differ.
with version as (
    select id, company_id, version, since, false as deleted from campaign_past where until >= $3
    union all
    select id, company_id, version, updated_at, deleted from campaign
), newest as (
    select distinct on (id) id, company_id, version, deleted from version
    where case when $1::bigint > 0 then version <= $1 else since <= $2 end
    order by id, version desc
), oldest as (
    select distinct on (v.id) v.id, v.company_id, v.version, v.since, c.created_at
    from version v join campaign c on c.id = v.id
    where c.created_at <= $2 and not exists (select 1 from newest where newest.id = v.id)
    order by v.id, v.version
)
select id, company_id, version, true as known from newest where not deleted
union all
-- Of these no version is kept that is old enough; one that began as it stands came only later.
select id, company_id, version, false from oldest where since > created_at

-- name: bodies_of_versions
select v.id, v.version, v.body from (
    select id, version, body from campaign where id = any($1::text[])
    union all
    select id, version, body from campaign_past where id = any($1::text[])
) v join unnest($1::text[], $2::bigint[]) as wanted (id, version)
    on wanted.id = v.id and wanted.version = v.version

-- name: companies_at
select c.id, c.prepaid,
       coalesce((select p.active from company_past p where p.company_id = c.id and p.until > $2
                 order by p.until limit 1), c.active) as active,
       coalesce(r.era, 0) as era, r.reset_at
from company c, lateral (
    select count(*)::integer as era, max(approved_at) as reset_at from crm_reset
    where company_id = c.id and status = 'approved' and approved_at <= $2
) r
where c.id = any($1)

-- name: used_at
select w.nth, count(d.id) as leads, coalesce(sum(d.charged), 0)::bigint as spend
from unnest($1::text[], $2::timestamptz[], $3::timestamptz[])
    with ordinality as w (campaign_id, starts_at, ends_at, nth)
left join delivery d on d.campaign_id = w.campaign_id and not d.test
    and d.reserved_at >= w.starts_at and d.reserved_at < w.ends_at and d.reserved_at <= $4
    and (d.state in ('open', 'accepted') or d.done_at > $4)
group by w.nth order by w.nth

-- name: available_at
-- Held is what was reserved and not settled yet; nothing stays so for as long as since $3.
select c.id, (
    select coalesce(sum(cents), 0) from ledger_entry
    where account = 'company:' || c.id and at <= $2
)::bigint - (
    select coalesce(sum(charged), 0) from delivery
    where company_id = c.id and day >= $3 and not test and reserved_at <= $2
      and (done_at is null or done_at > $2)
)::bigint as available
from company c where c.id = any($1)

-- name: buckets_at
-- A rejection counts from when it was made until it was declined or reversed; a CRM rejection that
-- was reversed is as if the delivery had never been tried.
with done as (
    select d.company_id, d.day, d.era, sum(d.charged) as assigned,
           coalesce(sum(d.charged) filter (where d.state <> 'accepted'), 0) as crm
    from delivery d
    left join rejection r on r.delivery_id = d.id and r.kind = 'crm' and r.status = 'reversed'
        and r.decided_at <= $2
    where d.company_id = any($1) and d.day between $3 and $4 and not d.test and d.done_at <= $2
      and d.state in ('accepted', 'failed', 'unclear') and r.id is null
    group by d.company_id, d.day, d.era
), returned as (
    select company_id, day, era, sum(value) as manual from rejection
    where company_id = any($1) and day between $3 and $4 and kind = 'manual'
      and rejected_at <= $2 and not (status in ('declined', 'reversed') and decided_at <= $2)
    group by company_id, day, era
)
select company_id, day, era, coalesce(assigned, 0)::bigint as assigned,
       coalesce(manual, 0)::bigint as manual, coalesce(crm, 0)::bigint as crm
from done full join returned using (company_id, day, era)

-- name: assigned_before_at
-- What was assigned before a day; CRM rejections reversed since were still assigned then.
select company_id, era, sum(assigned)::bigint as assigned from (
    select company_id, era, assigned from bucket where company_id = any($1) and day < $3
    union all
    select company_id, era, value from rejection
    where company_id = any($1) and day < $3 and kind = 'crm' and status = 'reversed'
      and decided_at > $2
) before
group by company_id, era

-- name: changes_between
-- When something was booked of companies ($1) after $2 and by $3: each time once. Of those prepaid
-- ($5) also what moved their balance. Deliveries before the day $4 are settled long ago.
select company_id, reserved_at as at from delivery
where company_id = any($1) and day >= $4 and not test and reserved_at > $2 and reserved_at <= $3
union
select company_id, done_at from delivery
where company_id = any($1) and day >= $4 and not test and done_at > $2 and done_at <= $3
union
select company_id, rejected_at from rejection
where company_id = any($1) and day >= $4 and rejected_at > $2 and rejected_at <= $3
union
select company_id, decided_at from rejection
where company_id = any($1) and day >= $4 and decided_at > $2 and decided_at <= $3
union
select company_id, approved_at from crm_reset
where company_id = any($1) and approved_at > $2 and approved_at <= $3
union
select company_id, until from company_past
where company_id = any($1) and until > $2 and until <= $3
union
select substr(account, 9), at from ledger_entry
where account = any(select 'company:' || id from unnest($5::text[]) as id) and at > $2 and at <= $3

-- name: trial_uses_at
-- What trials of a seller's ($1) contracts had used by $2; see the function trial_use.
select t.contract_id, t.company_id, t.starts_at, t.ends_at, count(h.delivery_id) as leads,
       coalesce(sum(h.charged), 0)::bigint as spend
from trial_room t
left join (trial_hold h join delivery d on d.id = h.delivery_id)
    on h.contract_id = t.contract_id
    and h.offered_at >= t.starts_at and h.offered_at < t.ends_at
    and d.reserved_at <= $2 and (d.state in ('open', 'accepted') or d.done_at > $2)
where t.seller_id = $1
group by t.contract_id, t.company_id, t.starts_at, t.ends_at

-- name: contracts_at
select * from contract_version where seller_id = $1 and recorded_at <= $2 order by number
