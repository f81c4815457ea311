-- Statements of alerts, notices, bidders' health and connection tests, by name.

-- name: begin_look
update alert_look set owner = $1, looked_at = clock_timestamp(),
    leased_until = clock_timestamp() + make_interval(secs => $3)
where (looked_at is null or looked_at <= clock_timestamp() - make_interval(secs => $2))
  and (leased_until is null or leased_until <= clock_timestamp() or owner = $1)
returning owner

-- name: end_look
update alert_look set leased_until = null
where owner = $1 and leased_until > clock_timestamp()
returning owner

-- name: alert_watches
select w.key, w.streak, w.alert_id, w.events, w.told_at, w.mark,
       a.acknowledged_at is not null as acknowledged
from alert_watch w left join alert a on a.id = w.alert_id

-- name: put_alert_watch
insert into alert_watch (key, streak, alert_id, events, told_at, mark)
values ($1, $2, $3, $4, $5, $6)
on conflict (key) do update set streak = excluded.streak, alert_id = excluded.alert_id,
    events = excluded.events, told_at = excluded.told_at, mark = excluded.mark

-- name: forget_alert_watches
delete from alert_watch where key = any($1)

-- name: open_alerts
select * from alert where state = 'raised'

-- name: put_alert
insert into alert (id, kind, severity, company_id, campaign_id, detail, state, said, arithmetic,
                   figures, events, raised_at, renewed_at, recovered_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
on conflict (id) do update set state = excluded.state, said = excluded.said,
    arithmetic = excluded.arithmetic, figures = excluded.figures, events = excluded.events,
    renewed_at = excluded.renewed_at, recovered_at = excluded.recovered_at

-- name: alerts
select * from alert
where ($1::text is null or company_id = $1) and ($2::text is null or state = $2)
  and ($3::text = '' or id < $3)
order by id desc limit $4

-- name: alert
select * from alert where id = $1

-- name: acknowledge_alert
update alert set acknowledged_at = coalesce(acknowledged_at, $2),
    acknowledged_by = coalesce(acknowledged_by, $3)
where id = $1 and state = 'raised' returning *

-- name: all_alert_settings
select receiver, body from alert_settings

-- name: alert_settings
select body from alert_settings where receiver = $1

-- name: put_alert_settings
insert into alert_settings (receiver, body, updated_at) values ($1, $2, $3)
on conflict (receiver) do update set body = excluded.body, updated_at = excluded.updated_at

-- name: crm_incidents
select r.company_id, d.campaign_id, r.reason, count(*) as count, sum(r.value)::bigint as cents
from rejection r join delivery d on d.id = r.delivery_id
where r.kind = 'crm' and r.rejected_at > $1
group by r.company_id, d.campaign_id, r.reason

-- name: saved_incidents
select company_id, campaign_id, kind, split_part(substr(detail, $3), ':', 1) as code,
       count(*) as count, sum(charged)::bigint as cents
from delivery
where state = 'accepted' and detail is not null and starts_with(detail, $2) and not test
  and done_at > $1
group by company_id, campaign_id, kind, code

-- name: drop_alerts
delete from alert where id in (
    select id from alert where state <> 'raised' and coalesce(recovered_at, raised_at) < $1
    order by coalesce(recovered_at, raised_at) limit 1000)

-- name: drop_notices
delete from alert_notice where (id, receiver, channel, address) in (
    select id, receiver, channel, address from alert_notice
    where state <> 'waiting' and done_at < $1 order by done_at limit 1000)

-- name: put_notice
insert into alert_notice (id, receiver, channel, address, body) values ($1, $2, $3, $4, $5)
on conflict do nothing

-- name: take_notices
update alert_notice n set attempts = n.attempts + 1,
    leased_until = clock_timestamp() + make_interval(secs => $2)
from (
    select w.ctid as place from alert_notice w
    where w.ctid = any(array(
        select distinct on (d.receiver, d.channel) d.ctid from alert_notice d
        where d.state = 'waiting' and d.due_at <= clock_timestamp()
          and (d.leased_until is null or d.leased_until <= clock_timestamp())
          and not exists (
            select 1 from alert_notice busy
            where busy.receiver = d.receiver and busy.channel = d.channel
              and busy.state = 'waiting' and busy.leased_until > clock_timestamp())
        order by d.receiver, d.channel, d.due_at, d.id
        limit $1))
      and w.state = 'waiting'
      and (w.leased_until is null or w.leased_until <= clock_timestamp())
    for update skip locked
) taken
where n.ctid = taken.place
returning n.id, n.receiver, n.channel, n.address, n.body, n.attempts,
    (select s.body from alert_settings s where s.receiver = n.receiver) as settings

-- name: end_notice
update alert_notice set state = $5, problem = $6, leased_until = null,
    due_at = clock_timestamp() + make_interval(secs => $7),
    done_at = case when $5 = 'waiting' then null else clock_timestamp() end
where id = $1 and receiver = $2 and channel = $3 and address = $4 and state = 'waiting'

-- name: compared_after
select compared_after from alert_look

-- name: set_compared_after
update alert_look set compared_after = $1

-- name: company_ids_after
select id from company where id > $1 order by id limit $2

-- name: drift_suspects
select company_id, looks, finding from drift_suspect order by company_id

-- name: note_drift
insert into drift_suspect (company_id, looks, finding)
select company_id, 1, finding from unnest($1::text[], $2::text[]) as found (company_id, finding)
on conflict (company_id) do update
set looks = drift_suspect.looks + 1, finding = excluded.finding

-- name: clear_drift
delete from drift_suspect where company_id = any($1)

-- name: drop_bidder_reports
delete from bidder_report
where (worker_id = $1 and campaign_id <> all($2))
   or seen_at < clock_timestamp() - interval '1 hour'

-- name: put_bidder_reports
insert into bidder_report (worker_id, campaign_id, company_id, state, asked, failed, body)
select $1, * from unnest($2::text[], $3::text[], $4::text[], $5::integer[], $6::integer[],
                         $7::text[])
on conflict (worker_id, campaign_id) do update
set company_id = excluded.company_id, state = excluded.state, asked = excluded.asked,
    failed = excluded.failed, body = excluded.body, seen_at = clock_timestamp()

-- name: bidder_reports
select worker_id, body from bidder_report
where campaign_id = $1 and seen_at > clock_timestamp() - make_interval(secs => $2)
order by worker_id

-- name: bidder_counts
select company_id, campaign_id, count(*) as workers,
       count(*) filter (where state in ('resting', 'away')) as resting,
       sum(asked)::bigint as asked, sum(failed)::bigint as failed
from bidder_report
where seen_at > clock_timestamp() - make_interval(secs => $2)
group by company_id, campaign_id
having campaign_id = any($1) or sum(failed) > 0
    or count(*) filter (where state in ('resting', 'away')) > 0

-- name: register_connections
insert into connection (campaign_id, target, company_id, kind, due_at)
select campaign_id, target, company_id, kind,
       clock_timestamp() + make_interval(secs => $5 * (0.5 + random()))
from unnest($1::text[], $2::text[], $3::text[], $4::text[])
    as place (campaign_id, target, company_id, kind)
on conflict (campaign_id, target) do update set company_id = excluded.company_id,
    kind = excluded.kind
where connection.kind <> excluded.kind or connection.company_id <> excluded.company_id

-- name: forget_connections
delete from connection c
where not exists (
    select 1 from unnest($1::text[], $2::text[]) as place (campaign_id, target)
    where place.campaign_id = c.campaign_id and place.target = c.target)

-- name: take_connections
update connection c
set due_at = clock_timestamp() + make_interval(secs => $2 * (0.9 + 0.2 * random()))
from (
    select campaign_id, target from connection due
    where due_at <= clock_timestamp()
      and not exists (select 1 from connection_opt_out o where o.campaign_id = due.campaign_id)
    order by due_at limit $1 for update skip locked
) due
where c.campaign_id = due.campaign_id and c.target = due.target
returning c.campaign_id, c.target

-- name: record_connection
insert into connection as c (campaign_id, target, company_id, kind, due_at, failures, successes,
                             last)
values ($1, $2, $3, $4, clock_timestamp() + make_interval(secs => $5), $6, $7,
        jsonb_build_array($8::text::jsonb))
on conflict (campaign_id, target) do update set
    due_at = excluded.due_at,
    failures = case when excluded.failures > 0 then c.failures + 1
                    when excluded.successes > 0 then 0 else c.failures end,
    successes = case when excluded.successes > 0 then c.successes + 1
                     when excluded.failures > 0 then 0 else c.successes end,
    last = jsonb_path_query_array(excluded.last || c.last, '$[0 to 9]')

-- name: record_connection_hour
insert into connection_hour as h (campaign_id, target, hour, tests, passed, took_ms)
values ($1, $2, date_trunc('hour', $3::timestamptz, 'UTC'), 1, $4, $5)
on conflict (campaign_id, target, hour) do update set
    tests = h.tests + 1, passed = h.passed + excluded.passed,
    took_ms = h.took_ms || excluded.took_ms

-- name: connections
select target, failures, successes, last from connection where campaign_id = $1 order by target

-- name: connection_hours
select target, hour, tests, passed, took_ms from connection_hour
where campaign_id = $1 and hour >= $2 order by target, hour

-- name: connection_streaks
select c.company_id, c.campaign_id, c.target, c.failures, c.successes,
       c.last -> 0 ->> 'reason' as reason, c.last -> 0 ->> 'detail' as why
from connection c
where (c.failures > 0 or c.campaign_id = any($1))
  and c.due_at > clock_timestamp() - interval '1 hour'
  and not exists (select 1 from connection_opt_out o where o.campaign_id = c.campaign_id)

-- name: drop_connection_hours
delete from connection_hour where (campaign_id, target, hour) in (
    select campaign_id, target, hour from connection_hour where hour < $1 order by hour limit 5000)

-- name: is_opted_out
select exists (select 1 from connection_opt_out where campaign_id = $1)

-- name: opt_out
insert into connection_opt_out (campaign_id, since) values ($1, $2) on conflict do nothing

-- name: opt_in
delete from connection_opt_out where campaign_id = $1
