-- What contracts' trials have used, told to every worker so that a ping knows what is left. What
-- is told carries the contract's count of changes, so that the newest wins. The hold of a delivery
-- at the post stays what decides.

-- uses grows whenever a version is recorded, or room in a trial is taken or free again.
alter table contract add column uses bigint not null default 0, add column used_at timestamptz;
create index contract_used on contract (used_at);
create index trial_hold_held on trial_hold (held_at);

-- What a company buys of the leads offered in a trial: held rooms whose delivery is open or
-- accepted, or not written yet. One that was not written a minute later never will be.
create function trial_use(
    p_contract text, p_starts_at timestamptz, p_ends_at timestamptz, p_without text,
    out leads bigint, out spend bigint
) language sql stable as $$
    select count(*), coalesce(sum(h.charged), 0)::bigint
    from trial_hold h left join delivery d on d.id = h.delivery_id
    where h.contract_id = p_contract and h.delivery_id is distinct from p_without
      and h.offered_at >= p_starts_at and h.offered_at < p_ends_at
      and (d.state in ('open', 'accepted')
           or (d.id is null and h.held_at > clock_timestamp() - interval '1 minute'))
$$;

-- Every trial with bounds of every contract, and what it has used.
create view trial_room as
select c.id as contract_id, c.seller_id, c.company_id, c.uses as version, c.used_at,
       t.starts_at, t.ends_at, u.leads, u.spend
from contract c
cross join lateral (
    select distinct (v.clauses->'trial'->>'starts_at')::timestamptz as starts_at,
                    (v.clauses->'trial'->>'ends_at')::timestamptz as ends_at
    from contract_version v
    where v.contract_id = c.id
      and (v.clauses->'trial' ? 'leads' or v.clauses->'trial' ? 'spend_cents')
) t
cross join lateral trial_use(c.id, t.starts_at, t.ends_at, null) u;

-- Notes that a contract's trials changed; gives their new count of changes.
create function note_trial_use(p_contract text) returns bigint language sql as $$
    update contract set uses = uses + 1, used_at = clock_timestamp() where id = p_contract
    returning uses
$$;

-- Takes room in a trial for a delivery, under the lock of the contract's row, and gives what the
-- trial has used then. It stays taken while the delivery is open or accepted.
-- hold_trial is left to workers of the version before.
create function take_trial_room(
    p_delivery text, p_contract text, p_offered_at timestamptz, p_charged bigint,
    p_starts_at timestamptz, p_ends_at timestamptz, p_leads bigint, p_spend bigint,
    out held boolean, out version bigint, out leads bigint, out spend bigint
) language plpgsql as $$
begin
    select c.uses into version from contract c where c.id = p_contract for no key update;
    select u.leads, u.spend into leads, spend
    from trial_use(p_contract, p_starts_at, p_ends_at, p_delivery) u;
    held := not coalesce(leads + 1 > p_leads or spend + p_charged > p_spend, false);
    if not held then return; end if;
    insert into trial_hold (delivery_id, contract_id, offered_at, charged, held_at)
    values (p_delivery, p_contract, p_offered_at, p_charged, clock_timestamp())
    on conflict (delivery_id) do update set held_at = clock_timestamp();
    version := note_trial_use(p_contract);
    leads := leads + 1;
    spend := spend + p_charged;
end $$;

-- Gives back the room of a delivery that was not written after all, if the lead is still the
-- owner's: a worker that took it over may be about to write it.
create function leave_trial_room(p_contract text, p_delivery text, p_lead text, p_owner text)
returns void language plpgsql as $$
begin
    perform 1 from contract where id = p_contract for no key update;
    delete from trial_hold h
    where h.delivery_id = p_delivery
      and not exists (select 1 from delivery d where d.id = h.delivery_id)
      and exists (select 1 from lead l where l.id = p_lead and l.owner = p_owner);
    if found then perform note_trial_use(p_contract); end if;
end $$;

-- A delivery that ends without a sale frees its room. The caller holds the company's row, under
-- which its contracts are locked one after the other.
create function free_trial_room() returns trigger language plpgsql as $$
begin
    perform note_trial_use(h.contract_id) from trial_hold h where h.delivery_id = new.id;
    return null;
end $$;
create trigger delivery_frees_trial after update of state on delivery for each row
when (old.state = 'open' and new.state not in ('open', 'accepted'))
execute function free_trial_room();

-- Drops room that was taken by workers that died before they wrote their delivery. Contracts that
-- are locked wait for the next turn; older holds were dropped long ago.
create function drop_unused_trial_room() returns void language plpgsql as $$
declare
    v_contract text;
begin
    for v_contract in
        select c.id from contract c
        where c.id in (
            select h.contract_id from trial_hold h
            where h.held_at < clock_timestamp() - interval '1 minute'
              and h.held_at > clock_timestamp() - interval '1 day'
              and not exists (select 1 from delivery d where d.id = h.delivery_id))
        order by c.id for no key update skip locked
    loop
        delete from trial_hold h
        where h.contract_id = v_contract and h.held_at < clock_timestamp() - interval '1 minute'
          and not exists (select 1 from delivery d where d.id = h.delivery_id);
        perform note_trial_use(v_contract);
    end loop;
end $$;
