-- Receipts, a batch a row; see migration 0016.

-- name: put_receipts
with known as (
    insert into receipt_writer (writer, counted) values ($1, 0) on conflict do nothing
)
insert into receipt_batch (writer, number, first_ping, last_ping, first_at, last_at, count,
                           pings, sizes, bodies)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
on conflict (writer, number) do nothing

-- name: receipt
select receipt_body($1, $2)

-- name: newest_receipts
select ping from (
    select pings from receipt_batch order by last_at desc, writer, number limit $1
) as newest, string_to_table(pings, ',') as ping
order by ping collate "C" desc limit $1

-- name: receipts_between
select writer, number, last_at, sizes, bodies
from (
    select *, sum(count) over (order by last_at, writer, number) - count as before
    from (
        select writer, number, last_at, count, sizes, bodies from receipt_batch
        where last_at >= $1 and (last_at, writer, number) > ($3, $4, $5)
        and last_at < $2::timestamptz + interval '1 hour' and first_at < $2  -- no batch takes that long
        order by last_at, writer, number limit $6
    ) as near
) as batch
where before < $6
order by last_at, writer, number

-- name: drop_receipts
delete from receipt_batch where (writer, number) in (
    select writer, number from receipt_batch where last_at < $1
    order by last_at, writer, number limit $2
    for update skip locked)  -- workers drop others at once, not the same

-- name: drop_receipt_writers
delete from receipt_writer w
where not exists (select 1 from receipt_batch b where b.writer = w.writer)
and not exists (select 1 from worker k where k.id = w.writer)

-- name: count_receipts
select count_receipts($1, $2, $3, $4)

-- name: uncounted_writer
select w.writer from receipt_writer w
where not exists (
    select 1 from worker k
    where k.id = w.writer and k.seen_at > clock_timestamp() - $1::float * interval '1 second')
and exists (select 1 from receipt_batch b where b.writer = w.writer and b.number > w.counted)
order by w.writer limit 1

-- name: counted_receipts
select coalesce((select counted from receipt_writer where writer = $1), 0)

-- name: uncounted_batch
select number, sizes, bodies from receipt_batch
where writer = $1 and number > $2
order by number limit 1

-- name: waiting_tallies
select count(*) from (select 1 from ping_tally limit $1) as waiting
