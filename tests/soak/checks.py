"""What must hold after any kills, told from what was seen outside and what is in the books.

Pure: evidence in, sentences out; no sentence is a clean bill. Source: rules §2, §4, §6, §8.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from msgspec import Struct

from tests.e2e.wire import Json
from tests.soak.books import Books
from tests.soak.companies import Returned
from tests.soak.market import Delivered, Shop
from tests.soak.sellers import Posted


class Evidence(Struct, frozen=True, kw_only=True):
    """All that is known of a soak.

    By company: what its systems recorded, what it took by its own account of it, its balance, its
    standing from the books, and the exact rate each worker weighs it at.
    """

    posted: Sequence[Posted]
    returned: Sequence[Returned]
    shops: Sequence[Shop]
    seen: Mapping[str, Sequence[Delivered]]
    odd_requests: Mapping[str, int]
    inboxes: Mapping[str, Sequence[Json]]
    balances: Mapping[str, Decimal]
    deposits: Mapping[str, Decimal]
    standings: Mapping[str, Json]
    rates: Mapping[str, Mapping[int, str]]
    books: Books


def violations(found: Evidence) -> list[str]:
    """Every sentence of every check."""
    return [told for check in CHECKS for told in check(found)]


def every_post_has_its_outcome(found: Evidence) -> Iterator[str]:
    """Sold with every leg sold or a reason, or unsold with a reason; and in the books the same."""
    leads = {row["ping_id"]: row for row in found.books.leads}
    legs: dict[str, dict[int, Mapping[str, Any]]] = defaultdict(dict)
    for row in found.books.legs:
        legs[row["lead_id"]][row["leg"]] = row
    for one in found.posted:
        if one.outcome is None:
            if not one.is_unknown:
                yield f"post {one.number} has no outcome"
            elif one.ping_id in leads:
                yield f"post {one.number} was unknown, and is lead {leads[one.ping_id]['id']}"
            continue
        lead = leads.pop(one.ping_id, None)
        if lead is None or lead["id"] != one.outcome["lead_id"] or not lead["done"]:
            booked = lead and dict(lead)
            yield f"post {one.number} was answered {one.outcome}, booked {booked}"
            continue
        yield from _leg_by_leg(one, one.outcome, legs[lead["id"]])
    for lead in leads.values():
        yield f"lead {lead['id']} is of no post"


def _leg_by_leg(
    one: Posted, outcome: Json, booked: Mapping[int, Mapping[str, Any]]
) -> Iterator[str]:
    told = outcome["legs"]
    if len(told) != one.legs or len(booked) != one.legs:
        yield f"post {one.number} had {one.legs} legs, was told of {told}, booked {len(booked)}"
        return
    paid = Decimal(0)
    for number, leg in enumerate(told):
        is_sold = leg["status"] == "sold"
        paid_cents = _cents(leg["price"]) if is_sold else None
        row = booked[number]
        if (is_sold, paid_cents) != (row["state"] in _SOLD, row["seller_cents"]):
            yield f"post {one.number} leg {number}: told {leg}, booked {dict(row)}"
        elif not is_sold and not leg.get("reason", {}).get("code"):
            yield f"post {one.number} leg {number} is unsold without a reason: {outcome}"
        paid += Decimal(leg["price"]) if is_sold else 0
    if (outcome["status"] == "sold") != (paid > 0):
        yield f"post {one.number} is {outcome['status']} with legs {told}"
    elif outcome["status"] == "sold" and Decimal(outcome["price"]) != paid:
        yield f"post {one.number} was told {outcome['price']}, its legs make {paid}"
    elif outcome["status"] != "sold" and not outcome.get("reason", {}).get("code"):
        yield f"post {one.number} is unsold without a reason: {outcome}"


def each_leg_is_sold_to_one_company(found: Evidence) -> Iterator[str]:
    """A sold leg has one sale; a lead's legs have different companies."""
    sales = Counter((row["lead_id"], row["leg"]) for row in found.books.sales)
    for row in found.books.legs:
        count = sales.pop((row["lead_id"], row["leg"]), 0)
        if count != (row["state"] in _SOLD):
            yield f"lead {row['lead_id']} leg {row['leg']} is {row['state']} with {count} sales"
    for (lead_id, leg), count in sales.items():
        yield f"lead {lead_id} has {count} sales of leg {leg}, which it has not"
    buyers: dict[str, list[str]] = defaultdict(list)
    for row in found.books.sales:
        buyers[row["lead_id"]].append(row["company_id"])
    for lead_id, companies in buyers.items():
        if len(set(companies)) < len(companies):
            yield f"lead {lead_id} was sold to one company twice: {companies}"


def companies_have_what_they_bought(found: Evidence) -> Iterator[str]:
    """What a company reads as its leads is what was sold to it, at that price."""
    bought: dict[str, dict[str, Mapping[str, Any]]] = defaultdict(dict)
    for row in found.books.sales:
        bought[row["company_id"]][row["lead_id"]] = row
    for shop in found.shops:
        sales = bought[shop.account.id]
        leads = found.inboxes[shop.account.id]
        if len(leads) != len(sales) or {lead["lead_id"] for lead in leads} != sales.keys():
            yield f"{shop.name} reads {len(leads)} leads and bought {len(sales)}"
            continue
        for lead in leads:
            sale = sales[lead["lead_id"]]
            if (lead["delivery_id"], _cents(lead["price"])) != (
                sale["delivery_id"],
                sale["charged"],
            ):
                yield f"{shop.name} reads {lead} and bought {dict(sale)}"
        if shop.most_leads is not None and len(sales) > shop.most_leads:
            yield f"{shop.name} bought {len(sales)} leads, {shop.most_leads} are its cap"


def systems_saw_what_was_sold(found: Evidence) -> Iterator[str]:
    """What was sold was taken by a system of the buyer's, under its delivery id, as the same lead.

    What a system saw besides was its company's turn at that lead; what it took besides is in the
    books as unclear, for its answer may have been lost on the way.
    """
    deliveries = {row["id"]: row for row in found.books.deliveries}
    for shop in found.shops:
        if odd := found.odd_requests[shop.account.id]:
            yield f"{shop.name} got {odd} requests that were no lead, or another one's"
        taken = set()
        for seen in found.seen[shop.account.id]:
            row = deliveries.get(seen.delivery_id)
            if row is None or (row["lead_id"], row["company_id"], row["charged"]) != (
                seen.lead_id,
                shop.account.id,
                seen.price_cents,
            ):
                yield f"{seen.system} saw {seen}, booked {row and dict(row)}"
            elif seen.accepted:
                taken.add(seen.delivery_id)
                if row["state"] not in ("accepted", "unclear"):
                    yield f"{seen.system} took delivery {row['id']}, booked as {row['state']}"
        if not shop.systems:
            continue
        for row in found.books.deliveries:
            is_its = row["company_id"] == shop.account.id and row["state"] == "accepted"
            if is_its and row["id"] not in taken:
                yield f"{shop.name} was sold delivery {row['id']}, which its systems did not take"


def no_exclusive_lead_reached_two_companies(found: Evidence) -> Iterator[str]:
    """A lead is taken by no more companies than it has legs; of a shared one, held legs apart."""
    legs = {one.outcome["lead_id"]: one.legs for one in found.posted if one.outcome is not None}
    takers: dict[str, set[str]] = defaultdict(set)
    for row in found.books.deliveries:
        if row["state"] == "accepted":
            takers[row["lead_id"]].add(row["company_id"])
    for shop in found.shops:
        for seen in found.seen[shop.account.id]:
            if seen.accepted:
                takers[seen.lead_id].add(shop.account.id)
    names = {shop.account.id: shop.name for shop in found.shops}
    for lead_id, companies in takers.items():
        # An unclear leg of a shared lead goes on to the next company (rules §8).
        if legs.get(lead_id, 1) == 1 and len(companies) > 1:
            told = ", ".join(sorted(names[company] for company in companies))
            yield f"exclusive lead {lead_id} was taken by {told}"


def money_agrees(found: Evidence) -> Iterator[str]:
    """The ledger sums to zero, and each account is what its sales and returns make."""
    ledger: Counter[str] = Counter({row["account"]: row["cents"] for row in found.books.ledger})
    if total := sum(ledger.values()):
        yield f"the ledger sums to {total} cents"
    returned = {row["delivery_id"] for row in found.books.rejections if row["kind"] == "manual"}
    expected: Counter[str] = Counter()
    for company_id, amount in found.deposits.items():
        expected[f"company:{company_id}"] += _cents(amount)
    for row in found.books.sales:
        if row["delivery_id"] not in returned:
            expected[f"company:{row['company_id']}"] -= row["charged"]
            expected[f"seller:{row['seller_id']}"] += row["seller_cents"]
            expected["operator"] += row["charged"] - row["seller_cents"]
    for account, cents in expected.items():
        if ledger[account] != cents:
            yield f"{account} has {ledger[account]} cents, its sales make {cents}"
    for shop in found.shops:
        balance = _cents(found.balances[shop.account.id])
        if balance != expected[f"company:{shop.account.id}"]:
            yield f"{shop.name} reads a balance of {balance} cents"
        if shop.is_prepaid and balance < 0:
            yield f"{shop.name} overspent its balance: {balance} cents"
    for row in found.books.companies:
        if row["held"]:
            yield f"company {row['id']} still has {row['held']} cents held"
    yield from _sellers_were_told_what_they_have(found)


def _sellers_were_told_what_they_have(found: Evidence) -> Iterator[str]:
    """What sellers were told they are paid is what was sold, before returns."""
    told: Counter[str] = Counter()
    for one in found.posted:
        if one.outcome is not None and one.outcome["status"] == "sold":
            told[one.seller.id] += _cents(one.outcome["price"])
    booked: Counter[str] = Counter()
    for row in found.books.sales:
        booked[row["seller_id"]] += row["seller_cents"]
    for seller in told.keys() | booked.keys():
        if told[seller] != booked[seller]:
            yield f"seller {seller} was told {told[seller]} cents, booked {booked[seller]}"


def returns_are_booked_once(found: Evidence) -> Iterator[str]:
    """Each return that was answered is in the books with its value, and no other is."""
    booked = {
        (row["company_id"], row["lead_id"]): row["value"]
        for row in found.books.rejections
        if row["kind"] == "manual"
    }
    told = {(one.shop.account.id, one.lead_id): _cents(one.value) for one in found.returned}
    if len(told) < len(found.returned):
        yield "a lead was returned twice"
    for key in told.keys() | booked.keys():
        if told.get(key) != booked.get(key):
            yield f"return {key}: told {told.get(key)} cents, booked {booked.get(key)}"


def standings_agree(found: Evidence) -> Iterator[str]:
    """A standing is what its company's deliveries and returns make, at every worker."""
    sums: dict[str, Counter[str]] = defaultdict(Counter)
    for row in found.books.deliveries:
        if row["state"] in ("accepted", "failed", "unclear"):
            sums[row["company_id"]]["assigned"] += row["charged"]
    for row in found.books.rejections:
        sums[row["company_id"]][row["kind"]] += row["value"]
    for shop in found.shops:
        made, told = sums[shop.account.id], found.standings[shop.account.id]
        for name, field in _FIGURES.items():
            if _cents(told[field]) != made[name]:
                yield f"{shop.name} stands at {field} {told[field]}, deliveries make {made[name]}"
        rates = found.rates.get(shop.account.id, {})
        if len(set(rates.values())) > 1:
            yield f"{shop.name} is weighed differently by workers: {dict(rates)}"
        rejected = made["manual"] + (0 if told["protected"] else made["crm"])
        if rates and (expected := f"{rejected}/{made['assigned']}") not in rates.values():
            yield f"{shop.name} is weighed at {dict(rates)}, its books make {expected}"


CHECKS: Final[tuple[Callable[[Evidence], Iterable[str]], ...]] = (
    every_post_has_its_outcome,
    each_leg_is_sold_to_one_company,
    companies_have_what_they_bought,
    systems_saw_what_was_sold,
    no_exclusive_lead_reached_two_companies,
    money_agrees,
    returns_are_booked_once,
    standings_agree,
)

_SOLD: Final = ("sold", "rejected", "final")
_FIGURES: Final = {"assigned": "assigned", "manual": "rejected_manual", "crm": "rejected_crm"}


def _cents(dollars: Decimal | str) -> int:
    return int(Decimal(dollars) * 100)
