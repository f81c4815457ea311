-- Whether a company was active until the operator blocked or unblocked it: so that an auction of then
-- can be told again. Few rows, kept for good.
create table company_past (
    company_id text not null references company (id),
    until timestamptz not null,
    active boolean not null,
    primary key (company_id, until)
);
