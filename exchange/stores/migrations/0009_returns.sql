-- Returns in full: those that wait for the operator's review, disputes of sellers, and reversals.
-- A return under review counts in the company's rates at once, and moves money only when approved.
-- Locks, as everywhere: lead, then delivery or sale, then company. A rejection's row is changed only
-- under its lead's lock.

alter table sale drop constraint sale_state_check;
alter table sale add constraint sale_state_check
    check (state in ('sold', 'in_review', 'rejected', 'final'));

-- status: accepted counts and was credited; in_review counts; declined and reversed do neither.
-- reason is 603 while nobody has said for what an unclear text stands; allowed are the reasons the
-- sale's terms leave the operator then. decision is the operator's sentence, sealed like the note.
alter table rejection
    add column status text not null default 'accepted'
        check (status in ('accepted', 'in_review', 'declined', 'reversed')),
    add column seller_id text,
    add column review_until timestamptz,
    add column allowed integer[],
    add column accepted_at timestamptz,
    add column decided_at timestamptz,
    add column decided_by text check (decided_by in ('operator', 'time')),
    add column decision bytea,
    add column decision_key_id smallint;
update rejection r set seller_id = s.seller_id, accepted_at = r.rejected_at
from sale s where s.delivery_id = r.delivery_id and r.kind = 'manual';
create index rejection_review on rejection (review_until) where status = 'in_review';
create index rejection_review_queue on rejection (id) where status = 'in_review';
create index rejection_of_company on rejection (company_id, id) where kind = 'manual';
create index rejection_of_seller on rejection (seller_id, id) where kind = 'manual';

-- A seller says that a return is wrong, once. What it says is sealed: it may quote the contact.
create table dispute (
    id text primary key,
    rejection_id text not null unique references rejection (id),
    seller_id text not null references seller (id),
    status text not null default 'open' check (status in ('open', 'upheld', 'overturned')),
    statement bytea not null,
    key_id smallint not null,
    opened_at timestamptz not null,
    decided_at timestamptz,
    decision bytea,
    decision_key_id smallint
);
create index dispute_open on dispute (id) where status = 'open';

-- What a reversal takes back from a prepaid company that has spent it since: it buys nothing until
-- its deposits cover that. Nothing else may take it beyond its balance.
alter table company add column owed bigint not null default 0 check (owed >= 0);
alter table company drop constraint company_check;
alter table company add constraint company_check check (not prepaid or balance + owed >= held);

-- Credits the company and takes back the seller's pay; to be called under the company's row lock.
create function credit_rejection(p_id text, p_now timestamptz) returns void language plpgsql as $$
declare
    s sale%rowtype;
begin
    select sale.* into strict s from sale join rejection r on r.delivery_id = sale.delivery_id
    where r.id = p_id;
    insert into ledger_entry (key, account, cents, at) values
        ('rejection:' || p_id, 'company:' || s.company_id, s.charged, p_now),
        ('rejection:' || p_id, 'seller:' || s.seller_id, -s.seller_cents, p_now),
        ('rejection:' || p_id, 'operator', -s.margin, p_now);
    update company set balance = balance + s.charged,
        owed = greatest(0, least(owed, held - balance - s.charged))
    where id = s.company_id;
end $$;

-- Puts a sale and its leg where a return leaves them: p_state, or as if there had been none.
create function set_sale_state(p_delivery text, p_state text, p_now timestamptz)
returns void language sql as $$
    with changed as (
        update sale set state = coalesce(
            p_state, case when window_closes_at <= p_now then 'final' else 'sold' end)
        where delivery_id = p_delivery
        returning lead_id, leg, state
    )
    update leg set state = changed.state from changed
    where leg.lead_id = changed.lead_id and leg.leg = changed.leg
$$;

drop function book_rejection(text, text, integer, bytea, smallint, timestamptz);

-- Books a manual rejection whose rules the caller has checked under the sale's row lock. With
-- p_review_until it waits for its review.
create function book_rejection(
    p_id text, p_delivery text, p_reason integer, p_note bytea, p_note_key_id smallint,
    p_now timestamptz, p_review_until timestamptz, p_allowed integer[]
) returns text language plpgsql as $$
declare
    s sale%rowtype;
begin
    select * into s from sale where delivery_id = p_delivery and state = 'sold' for update;
    if not found then return null; end if;
    perform 1 from company where id = s.company_id for no key update;
    insert into rejection (id, delivery_id, lead_id, company_id, seller_id, kind, reason, note,
                           note_key_id, value, day, era, rejected_at, status, review_until,
                           allowed, accepted_at)
    values (p_id, s.delivery_id, s.lead_id, s.company_id, s.seller_id, 'manual', p_reason, p_note,
            p_note_key_id, s.charged, s.day, s.era, p_now,
            case when p_review_until is null then 'accepted' else 'in_review' end,
            p_review_until, p_allowed, case when p_review_until is null then p_now end);
    perform set_sale_state(
        p_delivery, case when p_review_until is null then 'rejected' else 'in_review' end, p_now);
    perform add_to_bucket(s.company_id, s.day, s.era, 0, s.charged, 0);
    if p_review_until is null then perform credit_rejection(p_id, p_now); end if;
    update company set version = version + 1, changed_at = clock_timestamp()
    where id = s.company_id;
    return company_change(s.company_id, s.day, s.era, s.campaign_id, p_now);
end $$;

-- Ends a review: approved, the return is credited; declined, it is as if it had not been. False
-- where it is no longer under review. To be called under the lead's and the sale's row locks.
create function decide_review(
    p_id text, p_approved boolean, p_reason integer, p_by text, p_decision bytea,
    p_key_id smallint, p_now timestamptz
) returns boolean language plpgsql as $$
declare
    r rejection%rowtype;
begin
    select * into r from rejection where id = p_id and status = 'in_review' for update;
    if not found then return false; end if;
    perform 1 from company where id = r.company_id for no key update;
    update rejection set status = case when p_approved then 'accepted' else 'declined' end,
        reason = coalesce(p_reason, reason), decided_at = p_now, decided_by = p_by,
        decision = p_decision, decision_key_id = p_key_id,
        accepted_at = case when p_approved then p_now end
    where id = p_id;
    perform set_sale_state(r.delivery_id, case when p_approved then 'rejected' end, p_now);
    if p_approved then
        perform credit_rejection(p_id, p_now);
    else
        perform add_to_bucket(r.company_id, r.day, r.era, 0, -r.value, 0);
    end if;
    update company set version = version + 1, changed_at = clock_timestamp()
    where id = r.company_id;
    return true;
end $$;

-- Takes an accepted rejection back, so that sale, money and window are as if it had never been. A
-- CRM rejection leaves no sale: what was assigned with it is taken back as well. False where it
-- is not accepted. To be called under the lead's lock, and the sale's where there is one.
create function reverse_rejection(
    p_id text, p_decision bytea, p_key_id smallint, p_now timestamptz
) returns boolean language plpgsql as $$
declare
    r rejection%rowtype;
    s sale%rowtype;
begin
    select * into r from rejection where id = p_id and status = 'accepted' for update;
    if not found then return false; end if;
    perform 1 from company where id = r.company_id for no key update;
    update rejection set status = 'reversed', decided_at = p_now, decided_by = 'operator',
        decision = p_decision, decision_key_id = p_key_id
    where id = p_id;
    if r.kind = 'crm' then
        perform add_to_bucket(r.company_id, r.day, r.era, -r.value, 0, -r.value);
        update company set
            era_assigned = era_assigned - case when era = r.era then r.value else 0 end,
            version = version + 1, changed_at = clock_timestamp()
        where id = r.company_id;
        return true;
    end if;
    select * into strict s from sale where delivery_id = r.delivery_id;
    perform set_sale_state(r.delivery_id, null, p_now);
    insert into ledger_entry (key, account, cents, at) values
        ('reversal:' || p_id, 'company:' || s.company_id, -s.charged, p_now),
        ('reversal:' || p_id, 'seller:' || s.seller_id, s.seller_cents, p_now),
        ('reversal:' || p_id, 'operator', s.margin, p_now);
    perform add_to_bucket(r.company_id, r.day, r.era, 0, -r.value, 0);
    update company set balance = balance - s.charged,
        owed = case when prepaid then greatest(owed, held - balance + s.charged) else 0 end,
        version = version + 1, changed_at = clock_timestamp()
    where id = r.company_id;
    return true;
end $$;
