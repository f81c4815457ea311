-- Every statement the exchange sends to PostgreSQL, by name. Transactions of a post are functions
-- in migrations/. Arguments are numbered in the order the caller gives them.

-- name: claim_leads
select claimed, sold, changes, refused, while_open from claim_leads(
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
    $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39)

-- name: leads_of_posts
select post.nth, l.id, l.ping_id, l.seller_id, l.body_hash, l.owner, l.answer
from unnest($1::text[], $2::text[], $3::text[])
    with ordinality as post (ping_id, seller_id, key, nth),
lateral (
    select * from lead
    where ping_id = post.ping_id or (seller_id = post.seller_id and idempotency_key = post.key)
    order by (ping_id = post.ping_id) desc limit 1
) l

-- name: lead_status
select id, ping_id, seller_id, body_hash, owner, answer from lead where id = $1

-- name: reserve_deliveries
select outcomes, changes from reserve_deliveries(
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)

-- name: settle_deliveries
select settled, companies, changes
from settle_deliveries($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)

-- name: finish_leads
select finish_leads($1, $2, $3, $4, $5, $6, $7, $8)

-- name: heartbeat
insert into worker (id, seen_at) values ($1, clock_timestamp())
on conflict (id) do update set seen_at = clock_timestamp()

-- name: retire_worker
delete from worker where id = $1

-- name: forget_workers
delete from worker w where seen_at < clock_timestamp() - interval '1 hour'
and not exists (select 1 from lead where owner = w.id and finished_at is null)

-- name: adopt_leads
update lead set owner = $1
where id in (
    select l.id from lead l left join worker w on w.id = l.owner
    where l.finished_at is null
      and ((l.owner = $1 and l.id = any($4::text[])) or (
          l.owner <> $1
          and (w.id is null or w.seen_at < clock_timestamp() - make_interval(secs => $3))))
    order by l.id
    limit $2
    for update of l skip locked)
returning id, offer, contact, contact_key_id, contact_keys, deadline_at

-- name: legs_of_leads
select lead_id, leg, state, seller_cents from leg where lead_id = any($1) order by lead_id, leg

-- name: deliveries_of_leads
select lead_id, leg, place, state, seller_cents, reason from delivery
where lead_id = any($1) order by lead_id, place

-- name: who
select k.role, k.subject_id, coalesce(s.active, true) as active
from api_key k left join seller s on k.role = 'seller' and s.id = k.subject_id
where k.hash = $1 and k.revoked_at is null

-- name: add_key
insert into api_key (hash, role, subject_id, created_at) values ($1, $2, $3, $4)
on conflict (hash) do nothing

-- name: put_operator_key
insert into api_key (hash, role, subject_id, created_at) values ($1, 'operator', 'operator', $2)
on conflict (hash) do update set revoked_at = null

-- name: revoke_key
update api_key set revoked_at = $2 where hash = $1 and revoked_at is null returning subject_id

-- name: keys_of
select encode(hash, 'hex') as hash, role, subject_id, created_at, revoked_at from api_key
where subject_id = $1 order by created_at

-- name: operator_keys_revoke_others
update api_key set revoked_at = $2
where role = 'operator' and subject_id = 'operator' and revoked_at is null and hash <> $1

-- name: add_seller
insert into seller (id, name, created_at) values ($1, $2, $3)

-- name: add_company
insert into company (id, name, prepaid, created_at) values ($1, $2, $3, $4)

-- name: sellers
select id, name, active, created_at from seller where id > $1 order by id limit $2

-- name: companies
select id, name, active, created_at, prepaid, balance, held from company
where id > $1 order by id limit $2

-- name: seller
select id, name, active, created_at from seller where id = $1

-- name: company
select id, name, active, created_at, prepaid, balance, held from company where id = $1

-- name: set_seller_active
update seller set active = $2 where id = $1 returning id, name, active, created_at

-- name: set_company_active
with before as (
    select id, active from company where id = $1 for update
), noted as (
    insert into company_past (company_id, until, active)
    select id, $3, active from before where active <> $2
    on conflict (company_id, until) do nothing
)
update company set active = $2, version = version + 1, changed_at = clock_timestamp()
where id = (select id from before)
returning id, name, active, created_at, prepaid, balance, held

-- name: lock_company
select id, name, prepaid, version, era, era_assigned, reset_at from company where id = $1 for update

-- name: add_ledger_entry
insert into ledger_entry (key, account, cents, at) values ($1, $2, $3, $4)
on conflict (key, account) do nothing returning cents

-- name: ledger_entry
select cents from ledger_entry where key = $1 and account = $2

-- name: add_balance
update company set balance = balance + $2, owed = greatest(0, least(owed, held - balance - $2)),
    version = version + 1, changed_at = clock_timestamp()
where id = $1

-- name: put_campaign
insert into campaign (id, company_id, body, created_at, updated_at) values ($1, $2, $3, $4, $4)
on conflict (id) do nothing
returning version, created_at, updated_at

-- name: replace_campaign
update campaign set body = $3, updated_at = $4, version = nextval('campaign_version')
where id = $1 and company_id = $2 and not deleted
returning version, created_at, updated_at

-- name: delete_campaign
update campaign set deleted = true, updated_at = $3, version = nextval('campaign_version')
where id = $1 and company_id = $2 and not deleted
returning version

-- name: forget_usage
delete from usage where campaign_id = $1

-- name: keep_usage
select keep_usage($1, $2, $3, $4, $5)

-- name: campaign
select body, version, created_at, updated_at from campaign where id = $1 and not deleted

-- name: campaigns
select body, version, created_at, updated_at from campaign
where ($1::text is null or company_id = $1) and id > $2 and not deleted order by id limit $3

-- name: campaign_changes
select id, version, deleted, body from campaign where version > $1 order by version

-- name: lock_contracts
select pg_advisory_xact_lock($1)

-- name: add_contract
insert into contract (id, seller_id, company_id, created_at) values ($1, $2, $3, $4)

-- name: add_contract_version
insert into contract_version (number, contract_id, version, seller_id, company_id, effective_from,
                              effective_to, recorded_at, clauses, idempotency_key, request_hash)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)

-- name: last_contract_number
select coalesce(max(number), 0) from contract_version

-- name: contract_of_key
select contract_id, request_hash from contract_version where idempotency_key = $1

-- name: contract
select id, seller_id, company_id, created_at from contract where id = $1

-- name: contracts
select id, seller_id, company_id, created_at from contract
where ($1::text is null or seller_id = $1) and ($2::text is null or company_id = $2) and id > $3
order by id limit $4

-- name: versions_of_contracts
select * from contract_version where contract_id = any($1) order by number

-- name: versions_of_pair
select * from contract_version where seller_id = $1 and company_id = $2 order by number

-- name: contract_changes
select * from contract_version where number > $1 order by number

-- name: returned_of_pair
select count(*) filter (where state in ('rejected', 'in_review')) as count,
       coalesce(sum(charged) filter (where state in ('rejected', 'in_review')), 0)::bigint as cents,
       coalesce(sum(charged), 0)::bigint as sold
from sale
where seller_id = $1 and company_id = $2 and day >= $3 and day <= $4 and sold_at >= $5

-- name: offer_of_lead
select offer from lead where id = $1

-- name: take_trial_room
select * from take_trial_room($1, $2, $3, $4, $5, $6, $7, $8)

-- name: leave_trial_room
select leave_trial_room($1, $2, $3, $4)

-- name: drop_unused_trial_room
select drop_unused_trial_room()

-- name: note_trial_use
select note_trial_use($1)

-- name: trials_of_contract
select * from trial_room where contract_id = $1

-- name: trials_used_since
select * from trial_room where used_at > clock_timestamp() - make_interval(secs => $1)

-- name: trials_used
select * from trial_room where used_at is not null and ends_at > $1

-- name: note_breach
insert into contract_breach (delivery_id, lead_id, seller_id, company_id, contract_id, version,
                             clause, reason, noted_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
on conflict (delivery_id) do nothing

-- name: breaches
select b.delivery_id, b.lead_id, b.seller_id, b.company_id, b.contract_id, b.version, b.clause,
       b.reason, b.noted_at
from contract_breach b join delivery d on d.id = b.delivery_id and d.state = 'refused'
where ($1::text is null or b.contract_id = $1) and b.delivery_id > $2
order by b.delivery_id limit $3

-- name: companies_whole
select company_whole(id, $1, $2) from company order by id

-- name: companies_whole_of
select company_whole(id, $1, $2) from company where id = any($3)

-- name: company_versions_since
select id, version from company
where changed_at > clock_timestamp() - make_interval(secs => $1)

-- name: delivered_leads
select l.id, d.id as delivery_id, d.campaign_id, l.vertical, l.offer, l.contact, l.contact_key_id,
       l.test, d.charged, d.done_at, s.state as sale_state, s.window_closes_at, r.reason,
       r.status as rejection_status
from delivery d
join lead l on l.id = d.lead_id
left join sale s on s.delivery_id = d.id
left join rejection r on r.delivery_id = d.id
where d.company_id = $1 and d.state = 'accepted' and d.lead_id > $2
  and ($4::text is null or d.lead_id = $4)
order by d.lead_id limit $3

-- name: sold_leads
select l.id, l.ping_id, l.vertical, l.offer, s.leg, s.seller_cents, s.state, s.sold_at,
       s.window_closes_at
from (select lead_id from sale where seller_id = $1 and lead_id > $2
      group by lead_id order by lead_id limit $3) page
join lead l on l.id = page.lead_id
join sale s on s.lead_id = l.id
order by l.id, s.leg

-- name: posted_offer
select id, offer from lead where ping_id = $1

-- name: lock_lead
select 1 from lead where id = $1 for update

-- name: lock_sale
select s.delivery_id, s.lead_id, s.leg, s.charged, s.seller_id, s.day, s.era, s.state,
       s.window_closes_at
from sale s where s.lead_id = $1 and s.company_id = $2 for update

-- name: delivery_of_company
select state, test from delivery where lead_id = $1 and company_id = $2

-- name: rejection_of_delivery
select id, lead_id, status, reason, answer, decided_at, decided_by, decision, decision_key_id
from rejection
where delivery_id = $1

-- name: rejection_of_lead
select id, lead_id, status, reason, answer, decided_at, decided_by, decision, decision_key_id
from rejection
where lead_id = $1 and company_id = $2 and kind = 'manual'

-- name: book_rejection
select book_rejection($1, $2, $3, $4, $5, $6, $7, $8)

-- name: decide_review
select decide_review($1, $2, $3, $4, $5, $6, $7)

-- name: reverse_rejection
select reverse_rejection($1, $2, $3, $4)

-- name: due_review
select r.id, r.lead_id from rejection r join lead l on l.id = r.lead_id
where r.status = 'in_review' and r.review_until <= $1
order by r.review_until limit 1 for update of l, r skip locked

-- name: returns_of_all
select id from rejection where id > $1 and ($3::text is null or kind = $3) order by id limit $2

-- name: returns_of_company
select id from rejection where company_id = $3 and kind = 'manual' and id > $1 order by id limit $2

-- name: failures_of_company
select id from rejection where company_id = $3 and kind = 'crm' and id > $1 order by id limit $2

-- name: counting_of_company
select r.id from rejection r join company c on c.id = r.company_id
where r.company_id = $3 and r.kind = $4 and r.id > $1 and r.day >= $5
  and r.status in ('accepted', 'in_review') and (r.kind = 'manual' or r.era = c.era)
order by r.id limit $2

-- name: returns_of_seller
select id from rejection where seller_id = $3 and kind = 'manual' and id > $1 order by id limit $2

-- name: returns_in_review
select id from rejection where status = 'in_review' and id > $1 order by id limit $2

-- name: open_disputes
select id, rejection_id from dispute where status = 'open' and id > $1 order by id limit $2

-- name: returns_by_id
select r.*, d.campaign_id, d.seller_cents, l.seller_id as lead_seller_id, l.ping_id, l.vertical,
       p.id as dispute_id, p.status as dispute_status, p.statement, p.key_id as statement_key_id,
       p.opened_at, p.decided_at as dispute_decided_at, p.decision as dispute_decision,
       p.decision_key_id as dispute_decision_key_id
from rejection r
join delivery d on d.id = r.delivery_id
join lead l on l.id = r.lead_id
left join dispute p on p.rejection_id = r.id
where r.id = any($1::text[])

-- name: add_dispute
insert into dispute (id, rejection_id, seller_id, statement, key_id, opened_at)
values ($1, $2, $3, $4, $5, $6)

-- name: rejection_of_dispute
select rejection_id from dispute where id = $1

-- name: decide_dispute
update dispute set status = $2, decided_at = $3, decision = $4, decision_key_id = $5
where rejection_id = $1 and status = 'open'

-- name: keep_rejection_answer
update rejection set answer = $2 where id = $1 and answer is null

-- name: lead_state_from_legs
select state from leg where lead_id = $1 order by leg

-- name: set_lead_state
update lead set state = $2 where id = $1

-- name: buckets
select day, era, assigned, manual, crm from bucket
where company_id = $1 and day between $2 and $3 order by day, era

-- name: assigned_before
select era, sum(assigned)::bigint as assigned from bucket where company_id = $1 and day < $2
group by era

-- name: approved_resets
select approved_at from crm_reset where company_id = $1 and status = 'approved'
order by approved_at

-- name: rejection_causes
select kind, reason, count(*) as leads, sum(value)::bigint as value from rejection
where company_id = $1 and day between $2 and $3 and (kind = 'manual' or era = $4)
  and status in ('accepted', 'in_review')
group by kind, reason order by sum(value) desc, kind, reason limit 50

-- name: bought_on
select count(*) as leads, coalesce(sum(charged), 0)::bigint as spend from delivery
where company_id = $1 and day = $2 and state = 'accepted' and not test

-- name: campaigns_between
select id, created_at, body, since, until from (
    select p.id, c.created_at, p.body, p.since, p.until
    from campaign_past p join campaign c on c.id = p.id
    where p.company_id = $1 and p.until > $2 and p.since < $3
    union all
    select id, created_at, body, updated_at, null from campaign
    where company_id = $1 and not deleted and created_at < $3
) as version
order by id, since limit $4

-- name: drop_campaign_past
delete from campaign_past where (id, version) in (
    select id, version from campaign_past where until < $1 order by until limit $2)

-- name: dynamic_days
select applied, body::text as body from dynamic_day where day between $1 and $2 order by day

-- name: put_dynamic_day
insert into dynamic_day (day, applied, body, computed_at) values ($1, $2, $3, $4)
on conflict (day) do update set applied = excluded.applied
returning applied, body::text as body

-- name: market_days
select day, sum(assigned)::bigint as assigned, sum(manual + crm)::bigint as rejected
from bucket where day between $1 and $2 group by day

-- name: close_windows
with closing as (
    select s.delivery_id from sale s join lead l on l.id = s.lead_id
    where s.state = 'sold' and s.window_closes_at <= $1
    order by s.window_closes_at limit $2 for update of l, s skip locked
), closed as (
    update sale set state = 'final' from closing
    where sale.delivery_id = closing.delivery_id returning sale.lead_id, sale.leg
), legs as (
    update leg set state = 'final' from closed
    where leg.lead_id = closed.lead_id and leg.leg = closed.leg and leg.state = 'sold'
)
select distinct lead_id from closed

-- name: open_reset
select id, company_id, status, asked_at, approved_at from crm_reset
where company_id = $1 and status = 'requested'

-- name: add_reset
insert into crm_reset (id, company_id, status, asked_at) values ($1, $2, 'requested', $3)
returning id, company_id, status, asked_at, approved_at

-- name: reset
select id, company_id, status, asked_at, approved_at from crm_reset where id = $1

-- name: approve_reset
update crm_reset set status = 'approved', approved_at = $2 where id = $1 and status = 'requested'
returning id, company_id, status, asked_at, approved_at

-- name: start_era
update company set era = era + 1, era_assigned = 0, reset_at = $2, version = version + 1,
    changed_at = clock_timestamp()
where id = $1

-- name: resets
select id, company_id, status, asked_at, approved_at from crm_reset
where ($1::text is null or company_id = $1) and id > $2 order by id limit $3

-- name: seen_contacts
select l.contact_keys, l.seller_id, array_agg(s.company_id) as companies, max(s.sold_at) as sold_at
from lead l join sale s on s.lead_id = l.id
where s.sold_at > $1 and cardinality(l.contact_keys) > 0
group by l.id

-- name: lock_suppression_list
select company_id, state, contacts, keys, version from suppression_list where number = $1 for update

-- name: lock_suppressions_of
select pg_advisory_xact_lock(7260415, hashtext($1))

-- name: company_exists
select exists (select 1 from company where id = $1)

-- name: suppression_list_of
select number, contacts, changed_at from suppression_list where company_id = $1 and state = 'current'

-- name: add_suppression_list
insert into suppression_list (company_id, state, changed_at) values ($1, $2, $3) returning number

-- name: put_suppressions
insert into suppression (list, key) select $1, key from unnest($2::bytea[]) as key order by key
on conflict do nothing returning key

-- name: take_suppressions
delete from suppression where list = $1 and key = any($2::bytea[]) returning key

-- name: move_suppression_list
-- One digest under both fields counts twice as it is put on, and once as it is taken off.
update suppression_list set contacts = least(contacts + $2, keys + $3), keys = keys + $3,
    version = version + 1, changed_at = $4, touched_at = clock_timestamp()
where number = $1

-- name: touch_suppression_list
update suppression_list set touched_at = clock_timestamp() where number = $1

-- name: end_suppression_list
update suppression_list set state = 'gone', touched_at = clock_timestamp()
where company_id = $1 and state = 'current' returning number, contacts

-- name: set_suppression_list_current
update suppression_list set state = 'current', changed_at = $2, touched_at = clock_timestamp()
where number = $1 and state = 'loading' returning contacts

-- name: give_up_suppression_list
update suppression_list set state = 'gone' where number = $1 and state = 'loading'

-- name: current_suppression_lists
select number, company_id, keys, version from suppression_list where state = 'current'
order by number

-- name: past_suppression_lists
select number from suppression_list
where state = 'gone'
   or (state = 'loading' and touched_at < clock_timestamp() - make_interval(secs => $1))
order by touched_at limit 10

-- name: suppressions_after
select key from suppression where list = $1 and key > $2 order by key limit $3

-- name: drop_suppressions
with doomed as (
    select list, key from suppression where list = $1 limit $2
), dropped as (
    delete from suppression s using doomed where s.list = doomed.list and s.key = doomed.key
    returning 1
)
select count(*) from dropped

-- name: drop_suppression_list
delete from suppression_list where number = $1 and state <> 'current'

-- name: check_suppressions
select l.number, l.company_id, l.keys, count(s.key) as counted
from suppression_list l left join suppression s on s.list = l.number
where l.state = 'current'
group by l.number order by l.number

-- name: drop_old_usage
delete from usage where ends_at < $1

-- name: check_ledger_sum
select coalesce(sum(cents), 0)::bigint as cents, count(*) as entries from ledger_entry

-- name: check_ledger_keys
select key, sum(cents)::bigint as cents from ledger_entry group by key having sum(cents) <> 0
order by key limit 20

-- name: check_balances
select c.id, c.balance, coalesce(l.cents, 0)::bigint as ledger
from company c left join (
    select account, sum(cents) as cents from ledger_entry group by account
) l on l.account = 'company:' || c.id
where c.balance <> coalesce(l.cents, 0) limit 20

-- name: check_held
select c.id, c.held, coalesce(d.cents, 0)::bigint as open
from company c left join (
    select company_id, sum(charged) as cents from delivery
    where state = 'open' and not test group by company_id
) d on d.company_id = c.id
where c.held <> coalesce(d.cents, 0) limit 20

-- name: check_buckets
with facts as (
    -- A CRM rejection that was reversed is as if the delivery had never been tried.
    select d.company_id, d.day, d.era,
           sum(d.charged) filter (where d.state in ('accepted', 'failed', 'unclear')
                                    and r.id is null) as assigned,
           sum(d.charged) filter (where d.state in ('failed', 'unclear') and r.id is null) as crm
    from delivery d
    left join rejection r on r.delivery_id = d.id and r.kind = 'crm' and r.status = 'reversed'
    where not d.test group by d.company_id, d.day, d.era
), returned as (
    select company_id, day, era, sum(value) as manual from rejection
    where kind = 'manual' and status in ('accepted', 'in_review')
    group by company_id, day, era
), expected as (
    select company_id, day, era, coalesce(assigned, 0)::bigint as assigned,
           coalesce(manual, 0)::bigint as manual, coalesce(crm, 0)::bigint as crm
    from facts left join returned using (company_id, day, era)
)
select company_id, day, era,
       coalesce(b.assigned, 0) as assigned, coalesce(e.assigned, 0) as expected_assigned,
       coalesce(b.manual, 0) as manual, coalesce(e.manual, 0) as expected_manual,
       coalesce(b.crm, 0) as crm, coalesce(e.crm, 0) as expected_crm
from bucket b full join expected e using (company_id, day, era)
where coalesce(b.assigned, 0) <> coalesce(e.assigned, 0)
   or coalesce(b.manual, 0) <> coalesce(e.manual, 0)
   or coalesce(b.crm, 0) <> coalesce(e.crm, 0)
limit 20

-- name: check_era_assigned
select c.id, c.era_assigned, coalesce(b.assigned, 0)::bigint as assigned
from company c left join (
    select company_id, era, sum(assigned) as assigned from bucket group by company_id, era
) b on b.company_id = c.id and b.era = c.era
where c.era_assigned <> coalesce(b.assigned, 0) limit 20

-- name: check_usage
select u.campaign_id, u.period, u.starts_at, u.leads, u.spend,
       count(d.id) as expected_leads, coalesce(sum(d.charged), 0)::bigint as expected_spend
from usage u left join delivery d on d.campaign_id = u.campaign_id and not d.test
    and d.reserved_at >= u.starts_at and d.reserved_at < u.ends_at
    and d.state in ('open', 'accepted')
group by u.campaign_id, u.period, u.starts_at, u.leads, u.spend
having u.leads <> count(d.id) or u.spend <> coalesce(sum(d.charged), 0) limit 20

-- name: check_legs
select lead_id, leg, leg.state from leg join lead on lead.id = lead_id
where (lead.finished_at is not null and leg.state in ('received', 'delivering'))
   or (leg.state in ('sold', 'in_review', 'rejected', 'final') and not lead.test and not exists (
        select 1 from sale s where s.lead_id = leg.lead_id and s.leg = leg.leg))
   or (leg.state in ('unsold', 'timed_out', 'invalid') and exists (
        select 1 from sale s where s.lead_id = leg.lead_id and s.leg = leg.leg))
limit 20

-- name: check_double_sales
select lead_id, leg, count(*) as sales from sale group by lead_id, leg having count(*) > 1 limit 20

-- name: check_lead_states
with legs as (
    select lead_id, array_agg(state) as states from leg group by lead_id
), expected as (
    select lead_id, (
        select state from unnest(array['delivering', 'received', 'sold', 'in_review', 'final',
                                       'rejected', 'timed_out', 'invalid', 'unsold']) with ordinality
            as precedence (state, place)
        where state = any(states) order by place limit 1) as state
    from legs
)
select l.id, l.state, coalesce(e.state, 'nothing') as expected
from lead l left join expected e on e.lead_id = l.id
where l.finished_at is not null and l.state is distinct from e.state limit 20

-- name: check_deliveries
select d.id, d.state, s.delivery_id is not null as sold, r.id is not null as rejected
from delivery d
left join sale s on s.delivery_id = d.id
left join rejection r on r.delivery_id = d.id and r.kind = 'crm'
where not d.test
  and ((d.state = 'accepted') <> (s.delivery_id is not null)
    or (d.state in ('failed', 'unclear')) <> (r.id is not null))
limit 20

-- name: check_sales
select s.delivery_id, s.state, r.status
from sale s left join rejection r on r.delivery_id = s.delivery_id and r.kind = 'manual'
where (s.state = 'rejected') <> (coalesce(r.status, '') = 'accepted')
   or (s.state = 'in_review') <> (coalesce(r.status, '') = 'in_review')
limit 20

-- name: check_disputes
select p.id, p.status, r.status as rejection_status
from dispute p join rejection r on r.id = p.rejection_id
where r.status is distinct from
      case when p.status = 'overturned' then 'reversed' else 'accepted' end
limit 20

-- name: check_sale_entries
with due as (
    select 'sale:' || delivery_id as key, company_id, seller_id, -charged as company,
           seller_cents as seller
    from sale
    union all
    select 'rejection:' || r.id, s.company_id, s.seller_id, credited.part * s.charged,
           -credited.part * s.seller_cents
    from rejection r join sale s on s.delivery_id = r.delivery_id,
    lateral (select case when r.status in ('accepted', 'reversed') then 1 else 0 end as part)
        as credited
    where r.kind = 'manual'
    union all
    select 'reversal:' || r.id, s.company_id, s.seller_id, taken.part * -s.charged,
           taken.part * s.seller_cents
    from rejection r join sale s on s.delivery_id = r.delivery_id,
    lateral (select case when r.status = 'reversed' then 1 else 0 end as part) as taken
    where r.kind = 'manual'
)
select due.key, due.company, due.seller, coalesce(c.cents, 0) as company_entry,
       coalesce(p.cents, 0) as seller_entry
from due
left join ledger_entry c on c.key = due.key and c.account = 'company:' || due.company_id
left join ledger_entry p on p.key = due.key and p.account = 'seller:' || due.seller_id
where coalesce(c.cents, 0) <> due.company or coalesce(p.cents, 0) <> due.seller limit 20

-- name: check_counts
select (select count(*) from lead) as leads,
       (select count(*) from lead where finished_at is null) as open_leads,
       (select count(*) from sale) as sales,
       (select count(*) from rejection) as rejections,
       (select count(*) from company) as companies

-- name: summarise
select summarise($1, $2)

-- name: fold_pings
select fold_pings($1)

-- name: rebuild_day
select rebuild_day($1, $2)

-- name: summary_days
select least((select min(received_at at time zone $1)::date from lead),
             (select min(day) from day_summary)) as first,
       greatest((select max(received_at at time zone $1)::date from lead),
                (select max(day) from delivery), (select max(day) from day_summary)) as last

-- name: check_summary
with kept as (select * from day_summary where day = $1),
due as (select * from summary_of_day($1, $2))
select coalesce(kept.level, due.level) as level, coalesce(kept.axis, due.axis) as axis,
       coalesce(kept.party, due.party) as party, coalesce(kept.vertical, due.vertical) as vertical,
       coalesce(kept.value, due.value) as value, m.name, m.kept, m.due
from kept full join due using (level, axis, party, vertical, value),
lateral (values
    ('posts', kept.posts, due.posts), ('sold', kept.sold, due.sold),
    ('sales', kept.sales, due.sales), ('charged', kept.charged, due.charged),
    ('pay', kept.pay, due.pay), ('manual', kept.manual, due.manual),
    ('manual_cents', kept.manual_cents, due.manual_cents),
    ('manual_pay', kept.manual_pay, due.manual_pay), ('crm', kept.crm, due.crm),
    ('crm_cents', kept.crm_cents, due.crm_cents), ('refused', kept.refused, due.refused),
    ('refused_cents', kept.refused_cents, due.refused_cents),
    ('review', kept.review, due.review),
    ('review_cents', kept.review_cents, due.review_cents)) as m (name, kept, due)
where coalesce(m.kept, 0) <> coalesce(m.due, 0)
order by 1, 2, 3, 4, 5, 6 limit 20
