-- What thresholds and penalties move by on a day, computed once for everybody, before the day
-- begins. body is core.dynamic.DayFactors; applied: the workers used it, or only showed it.
create table dynamic_day (
    day date primary key,
    applied boolean not null,
    body json not null,
    computed_at timestamptz not null
);

-- Summing up the market over a year reads a slice of days at a time: days lie together on disk.
create index bucket_day on bucket using brin (day);

-- Every version a campaign had before its present one, with the time it was in force: so that an
-- auction of then can be held again. Dropped by age, as receipts are.
create table campaign_past (
    id text not null,
    version bigint not null,
    company_id text not null,
    body json not null,
    since timestamptz not null,
    until timestamptz not null,
    primary key (id, version)
);
create index campaign_past_company on campaign_past (company_id, until);
create index campaign_past_age on campaign_past (until);

create function keep_campaign_past() returns trigger language plpgsql as $$
begin
    -- A clock that was set back must not make a time that ends before it begins.
    insert into campaign_past (id, version, company_id, body, since, until)
    values (old.id, old.version, old.company_id, old.body, old.updated_at,
            greatest(old.updated_at, new.updated_at))
    on conflict (id, version) do nothing;
    return null;
end $$;
create trigger campaign_changes after update on campaign
for each row when (old.version <> new.version and not old.deleted)
execute function keep_campaign_past();
