-- Contracts between a seller and a company (rules §9).

create table contract (
    id text primary key,
    seller_id text not null references seller (id),
    company_id text not null references company (id),
    created_at timestamptz not null
);
create index contract_pair on contract (seller_id, company_id, id);
create index contract_company on contract (company_id, id);

-- A version is written once. number counts those of all contracts without a gap, in the order of
-- their transactions: whoever has all up to one knows what to ask for. idempotency_key and
-- request_hash are the call's that recorded it.
create table contract_version (
    number bigint primary key,
    contract_id text not null references contract (id),
    version integer not null,
    seller_id text not null,
    company_id text not null,
    effective_from timestamptz not null,
    effective_to timestamptz,
    recorded_at timestamptz not null,
    clauses jsonb not null,
    idempotency_key text unique,
    request_hash bytea,
    unique (contract_id, version),
    check (effective_to is null or effective_to >= effective_from),
    check (effective_from >= recorded_at)
);
create index contract_version_pair on contract_version (seller_id, company_id, number);

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'a row of % is written once', tg_table_name;
end $$;
create trigger contract_version_stands before update or delete on contract_version
for each row execute function refuse_change();

-- Real-time refusals for a reason the contract does not allow, noted before the delivery is settled:
-- it is one if the delivery did end as refused.
create table contract_breach (
    delivery_id text primary key,
    lead_id text not null,
    seller_id text not null,
    company_id text not null,
    contract_id text not null,
    version integer not null,
    clause text not null,
    reason integer not null,
    noted_at timestamptz not null
);
create index contract_breach_contract on contract_breach (contract_id, delivery_id);
create index contract_breach_company on contract_breach (company_id, noted_at);

-- Room taken in a contract's trial by a delivery, before the delivery is reserved.
create table trial_hold (
    delivery_id text primary key,
    contract_id text not null references contract (id),
    offered_at timestamptz not null,
    charged bigint not null check (charged >= 0),
    held_at timestamptz not null
);
create index trial_hold_contract on trial_hold (contract_id, offered_at);

-- Takes room in a trial for a delivery, under the lock of the contract's row; false where there is
-- none. It stays taken while the delivery is open or accepted. One that was not written a minute
-- later never will be: its worker lost the lead long before.
create function hold_trial(
    p_delivery text, p_contract text, p_offered_at timestamptz, p_charged bigint,
    p_starts_at timestamptz, p_ends_at timestamptz, p_leads bigint, p_spend bigint
) returns boolean language plpgsql as $$
declare
    v_leads bigint;
    v_spend bigint;
begin
    perform 1 from contract where id = p_contract for update;
    select count(*), coalesce(sum(h.charged), 0) into v_leads, v_spend
    from trial_hold h left join delivery d on d.id = h.delivery_id
    where h.contract_id = p_contract and h.delivery_id <> p_delivery
      and h.offered_at >= p_starts_at and h.offered_at < p_ends_at
      and (d.state in ('open', 'accepted')
           or (d.id is null and h.held_at > clock_timestamp() - interval '1 minute'));
    if v_leads + 1 > p_leads or v_spend + p_charged > p_spend then return false; end if;
    insert into trial_hold (delivery_id, contract_id, offered_at, charged, held_at)
    values (p_delivery, p_contract, p_offered_at, p_charged, clock_timestamp())
    on conflict (delivery_id) do update set held_at = clock_timestamp();
    return true;
end $$;

-- What a company bought of a seller by day, for caps on returns.
create index sale_pair on sale (seller_id, company_id, day);
