-- The market's tables. Money is bigint cents, times are timestamptz in UTC, ids are text.

create table seller (
    id text primary key,
    name text not null,
    active boolean not null default true,
    created_at timestamptz not null
);

-- version grows with every transaction that touches what a worker's market knows of the company.
-- era counts CRM resets; era_assigned is all that was assigned since the last one.
create table company (
    id text primary key,
    name text not null,
    active boolean not null default true,
    prepaid boolean not null default false,
    version bigint not null default 1,
    era integer not null default 0,
    era_assigned bigint not null default 0 check (era_assigned >= 0),
    reset_at timestamptz,
    balance bigint not null default 0,
    held bigint not null default 0 check (held >= 0),
    changed_at timestamptz not null default clock_timestamp(),
    created_at timestamptz not null,
    check (not prepaid or balance >= held)
);
create index company_changed on company (changed_at);

create table api_key (
    hash bytea primary key,
    role text not null check (role in ('seller', 'company', 'operator')),
    subject_id text not null,
    created_at timestamptz not null,
    revoked_at timestamptz
);
create index api_key_subject on api_key (subject_id);

create sequence campaign_version;
create table campaign (
    id text primary key,
    company_id text not null references company (id),
    version bigint not null default nextval('campaign_version'),
    body jsonb not null,
    deleted boolean not null default false,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create index campaign_company on campaign (company_id, id) where not deleted;
create index campaign_changed on campaign (version);

-- What a ping decided; no contact data. Dropped by age.
create table receipt (
    ping_id text primary key,
    seller_id text not null,
    decided_at timestamptz not null,
    body bytea not null
);
create index receipt_age on receipt (decided_at);

create table lead (
    id text primary key,
    ping_id text not null unique,
    seller_id text not null references seller (id),
    vertical text not null,
    test boolean not null,
    idempotency_key text not null,
    body_hash bytea not null,
    offer bytea not null,
    contact bytea not null,
    contact_key_id smallint not null,
    contact_keys text[] not null,
    owner text not null,
    state text not null default 'received',
    received_at timestamptz not null,
    deadline_at timestamptz not null,
    finished_at timestamptz,
    answer bytea,
    unique (seller_id, idempotency_key)
);
create index lead_open on lead (owner) where finished_at is null;
create index lead_received on lead (received_at);

create table leg (
    lead_id text not null references lead (id),
    leg integer not null,
    state text not null default 'received',
    promised bigint not null,
    seller_cents bigint,
    primary key (lead_id, leg)
);

-- A company's turn at a leg, written before the company hears of the lead.
create table delivery (
    id text primary key,
    lead_id text not null references lead (id),
    leg integer not null,
    place integer not null,
    company_id text not null references company (id),
    campaign_id text not null,
    state text not null default 'open'
        check (state in ('open', 'accepted', 'refused', 'failed', 'unclear')),
    test boolean not null,
    charged bigint not null check (charged >= 0),
    seller_cents bigint not null,
    day date not null,
    era integer not null,
    reserved_at timestamptz not null,
    done_at timestamptz,
    reason integer,
    kind text,
    reference text,
    detail text,
    attempts integer not null default 0,
    unique (lead_id, company_id)
);
create index delivery_campaign on delivery (campaign_id, reserved_at);
create index delivery_company on delivery (company_id, lead_id) where state = 'accepted';
create index delivery_bucket on delivery (company_id, day);

create table sale (
    delivery_id text primary key references delivery (id),
    lead_id text not null references lead (id),
    leg integer not null,
    company_id text not null,
    campaign_id text not null,
    seller_id text not null,
    charged bigint not null,
    seller_cents bigint not null,
    margin bigint not null,
    day date not null,
    era integer not null,
    sold_at timestamptz not null,
    window_closes_at timestamptz not null,
    state text not null default 'sold' check (state in ('sold', 'rejected', 'final')),
    unique (lead_id, company_id),
    check (charged = seller_cents + margin)
);
create index sale_closing on sale (window_closes_at) where state = 'sold';

-- kind manual: a sold lead returned. kind crm: its delivery failed for good; there is no sale.
-- The note is a company's own words, which may quote the contact: it is sealed as the contact is.
create table rejection (
    id text primary key,
    delivery_id text not null unique references delivery (id),
    lead_id text not null,
    company_id text not null,
    kind text not null check (kind in ('manual', 'crm')),
    reason integer not null,
    note bytea,
    note_key_id smallint,
    value bigint not null,
    day date not null,
    era integer not null,
    rejected_at timestamptz not null,
    answer bytea
);
create index rejection_company on rejection (company_id, day);

-- Double entry: the entries of one key sum to zero.
create table ledger_entry (
    key text not null,
    account text not null,
    cents bigint not null,
    at timestamptz not null,
    primary key (key, account)
);
create index ledger_account on ledger_entry (account);

-- What each day and era hold for a company; the same figures a standing is weighed from.
create table bucket (
    company_id text not null references company (id),
    day date not null,
    era integer not null,
    assigned bigint not null default 0,
    manual bigint not null default 0,
    crm bigint not null default 0,
    primary key (company_id, day, era),
    check (assigned >= 0 and manual >= 0 and crm >= 0 and manual + crm <= assigned)
);

-- Leads and cents a campaign has used of a capped period; made when first needed.
create table usage (
    campaign_id text not null,
    period text not null,
    starts_at timestamptz not null,
    ends_at timestamptz not null,
    company_id text not null references company (id),
    leads bigint not null default 0 check (leads >= 0),
    spend bigint not null default 0 check (spend >= 0),
    primary key (campaign_id, period, starts_at)
);
create index usage_company on usage (company_id, ends_at);

create table crm_reset (
    id text primary key,
    company_id text not null references company (id),
    status text not null check (status in ('requested', 'approved')),
    asked_at timestamptz not null,
    approved_at timestamptz
);
create unique index crm_reset_open on crm_reset (company_id) where status = 'requested';

create table worker (
    id text primary key,
    seen_at timestamptz not null
);
