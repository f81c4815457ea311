-- Alerts, what is told of them, how companies' bidders and systems are doing. None of it takes part
-- in a sale: it may be emptied at any time, and only what was told is forgotten with it.

-- One episode: raised, perhaps renewed, recovered; or told, for what is over as it is told.
create table alert (
    id text primary key,
    kind text not null,
    severity text not null,
    company_id text references company (id),
    campaign_id text,
    detail text not null default '',
    state text not null check (state in ('raised', 'recovered', 'told')),
    said text not null,
    arithmetic text not null,
    figures text not null,
    events integer not null,
    raised_at timestamptz not null,
    renewed_at timestamptz,
    recovered_at timestamptz,
    acknowledged_at timestamptz,
    acknowledged_by text
);
create unique index alert_open
    on alert (kind, coalesce(company_id, ''), coalesce(campaign_id, ''), detail)
    where state = 'raised';
create index alert_company on alert (company_id, id);
create index alert_over on alert (coalesce(recovered_at, raised_at)) where state <> 'raised';

-- What is remembered of a subject between two looks; without a row it is calm.
create table alert_watch (
    key text primary key,
    streak integer not null default 0,
    alert_id text,
    events integer not null default 0,
    told_at timestamptz,
    mark text
);

-- Who is looking, and how far the comparison of the stores has come: one row.
create table alert_look (
    only_row boolean primary key default true check (only_row),
    owner text,
    leased_until timestamptz,
    looked_at timestamptz,
    compared_after text not null default ''
);
insert into alert_look default values;

-- What a company, or the operator, has set.
create table alert_settings (
    receiver text primary key,
    body text not null,
    updated_at timestamptz not null
);

-- Notices to be sent: written with the change they tell of, taken by whichever worker comes first.
create table alert_notice (
    id text not null,
    receiver text not null,
    channel text not null check (channel in ('webhook', 'email')),
    address text not null default '',
    body bytea not null,
    state text not null default 'waiting' check (state in ('waiting', 'sent', 'failed', 'dropped')),
    attempts integer not null default 0,
    due_at timestamptz not null default clock_timestamp(),
    leased_until timestamptz,
    created_at timestamptz not null default clock_timestamp(),
    done_at timestamptz,
    problem text,
    primary key (id, receiver, channel, address)
);
create index alert_notice_waiting on alert_notice (due_at) where state = 'waiting';
create index alert_notice_done on alert_notice (done_at) where state <> 'waiting';

-- Companies whose copy in the fast store differed at the last looks in a row.
create table drift_suspect (
    company_id text primary key,
    looks integer not null,
    finding text not null
);

-- Each worker's view of each bidder it asks; rows of workers that fell silent mean nothing.
create table bidder_report (
    worker_id text not null,
    campaign_id text not null,
    company_id text not null,
    state text not null,
    asked integer not null,
    failed integer not null,
    body text not null,
    seen_at timestamptz not null default clock_timestamp(),
    primary key (worker_id, campaign_id)
);
create index bidder_report_campaign on bidder_report (campaign_id);

-- Where leads and pings of an active campaign go: "bidder", or "delivery[0]" and so on.
create table connection (
    campaign_id text not null,
    target text not null,
    company_id text not null,
    kind text not null,
    due_at timestamptz not null,
    failures integer not null default 0,
    successes integer not null default 0,
    last jsonb not null default '[]',
    primary key (campaign_id, target)
);
create index connection_due on connection (due_at);

-- The tests of one connection in one hour; took_ms are the times of those that passed.
create table connection_hour (
    campaign_id text not null,
    target text not null,
    hour timestamptz not null,
    tests integer not null,
    passed integer not null,
    took_ms integer[] not null,
    primary key (campaign_id, target, hour)
);
create index connection_hour_age on connection_hour (hour);

-- Campaigns whose company wants no tests it did not ask for.
create table connection_opt_out (
    campaign_id text primary key,
    since timestamptz not null
);

-- What alerts look for, kept small: deliveries that failed for good, and those a backup saved.
create index rejection_crm on rejection (rejected_at) where kind = 'crm';
create index delivery_saved on delivery (done_at) where state = 'accepted' and detail is not null;
