-- What thresholds and penalties move by on a day, computed once for everybody, before the day
-- begins. body is core.dynamic.DayFactors; applied: the workers used it, or only showed it.
create table dynamic_day (
    day date primary key,
    applied boolean not null,
    body json not null,
    computed_at timestamptz not null
);
