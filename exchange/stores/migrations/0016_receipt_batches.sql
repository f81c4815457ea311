-- Receipts are kept as they are written, a batch a row: a row each, with its index entries, took as
-- long again as all that is written in it, on the core that pings wait for. All workers of the
-- version before must be stopped.

-- A batch is a writer's (a worker's name), by number. pings and sizes (in
-- bytes) are apart by commas, and the bodies one behind the other. Ids of pings are in the order of
-- time (RFC 9562, version 7), so that first_ping and last_ping tell where one is looked for.
create table receipt_batch (
    writer text not null,
    number bigint not null,
    first_ping text collate "C" not null,
    last_ping text collate "C" not null,
    first_at timestamptz not null,
    last_at timestamptz not null,
    count integer not null,
    pings text not null,
    sizes text not null,
    bodies bytea not null,
    primary key (writer, number)
);
alter table receipt_batch alter pings set storage external;
alter table receipt_batch alter bodies set storage external;
create index receipt_batch_pings on receipt_batch (last_ping);
create index receipt_batch_age on receipt_batch (last_at, writer, number);

-- Up to which batch the pings of a writer are in ping_tally. What its worker did not live to count
-- is counted by another, from the receipts.
create table receipt_writer (
    writer text primary key,
    counted bigint not null
);

-- The receipts there are were counted as they were written. A batch spans no long time.
insert into receipt_batch
select 'before', row_number() over (order by min(decided_at), min(ping_id)), min(ping_id),
       max(ping_id), min(decided_at), max(decided_at), count(*),
       string_agg(ping_id, ',' order by place),
       string_agg(octet_length(body)::text, ',' order by place),
       string_agg(body, ''::bytea order by place)
from (
    select *, date_trunc('second', decided_at) as second,
           row_number() over (partition by date_trunc('second', decided_at)
                              order by decided_at, ping_id) as place
    from receipt
) as old
group by second, (place - 1) / 200;
insert into receipt_writer
select 'before', max(number) from receipt_batch having max(number) is not null;
drop function put_receipts(text, text, text, text, text, bytea, text[]);
drop table receipt;

-- Where a ping stands in its batch, and what of the batch is its body. p_until is the last id that
-- the last ping of its batch can have.
create function receipt_body(p_ping text, p_until text) returns bytea language plpgsql stable as $$
declare
    v_batch record;
    v_start bigint;
begin
    select writer, number, place, string_to_array(sizes, ',')::bigint[] as sizes into v_batch
    from (
        select writer, number, last_ping, sizes,
               array_position(string_to_array(pings, ','), p_ping) as place
        from receipt_batch
        where last_ping between p_ping and p_until and first_ping <= p_ping
    ) as near
    where place is not null
    order by last_ping limit 1;
    if not found then return null; end if;
    select coalesce(sum(size), 0) into v_start
    from unnest(v_batch.sizes[1:v_batch.place - 1]) as size;
    return (
        select substr(bodies, v_start::integer + 1, v_batch.sizes[v_batch.place]::integer)
        from receipt_batch where writer = v_batch.writer and number = v_batch.number
    );
end $$;

-- Notes what a writer's batches after p_from and up to p_to add up to; gives up to which they are
-- counted now. Where that is not p_to, nothing was noted: another has counted some of them.
-- p_tallies are rows of ping_tally.
create function count_receipts(
    p_writer text, p_from bigint, p_to bigint, p_tallies text[]
) returns bigint language plpgsql as $$
declare
    v_counted bigint;
    v_lines text[];
begin
    insert into receipt_writer values (p_writer, 0) on conflict do nothing;
    select counted into v_counted from receipt_writer where writer = p_writer for update;
    if v_counted is distinct from p_from then return v_counted; end if;
    update receipt_writer set counted = p_to where writer = p_writer;
    if cardinality(p_tallies) > 0 then
        foreach v_lines slice 1 in array p_tallies loop
            insert into ping_tally values (v_lines);
        end loop;
    end if;
    return p_to;
end $$;

-- Small enough that pressing them costs more than the room.
alter table ping_tally alter lines set storage external;

-- Room on its page for a row's next version: its index entries stay as they are.
alter table day_ping set (fillfactor = 50);
