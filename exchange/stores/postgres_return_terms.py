"""The terms of one sale's return, from the contract in force when the lead was offered.

Read inside the transaction that books the return, under the sale's lock. Source: rules §8, §9.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from exchange.core.contract import Contract, Deal, cap_days, deal_of, in_force, return_terms
from exchange.core.rejection import ReturnCap, Returned, Terms
from exchange.flow.ports import RejectRequest
from exchange.stores.offer_bodies import read_offer
from exchange.stores.postgres import QUERIES, Record
from exchange.stores.postgres_contracts import read_version


async def terms_of_sale(connection: Any, request: RejectRequest, sale: Record) -> Terms:
    """What holds for the return of a sale; ``request.terms`` where the pair had no contract then.

    ``sale`` is a row of ``lock_sale``. Where the contract caps returns, the company's row is locked
    until the end of the transaction, so that no two returns take the same room.
    """
    versions = await _versions(connection, sale["seller_id"], request.company_id)
    deal = await _deal(connection, versions, request.lead_id)
    if deal is None:
        return request.terms
    terms = return_terms(deal, request.terms)
    if terms.cap is None or not terms.returnable:
        return terms
    await connection.execute(QUERIES["lock_company"], request.company_id)
    own = [one for one in versions if one.contract_id == deal.contract_id]
    return replace(terms, returned=await _returned(connection, request, sale, terms.cap, own))


async def terms_of_return(connection: Any, row: Record) -> Terms:
    """What held for a return that was taken; ``row`` is one of ``returns_by_id``."""
    versions = await _versions(connection, row["lead_seller_id"], row["company_id"])
    deal = await _deal(connection, versions, row["lead_id"])
    return Terms() if deal is None else return_terms(deal, Terms())


async def _versions(connection: Any, seller_id: str, company_id: str) -> list[Contract]:
    rows = await connection.fetch(QUERIES["versions_of_pair"], seller_id, company_id)
    return [read_version(row) for row in rows]


async def _deal(connection: Any, versions: list[Contract], lead_id: str) -> Deal | None:
    """What held between a pair when a lead was offered; None for the vertical's defaults."""
    if not versions:
        return None
    offer = read_offer(await connection.fetchval(QUERIES["offer_of_lead"], lead_id))
    held = in_force(versions, offer.decided_at)
    return None if held is None else deal_of(held, offer.decided_at)


async def _returned(
    connection: Any, request: RejectRequest, sale: Record, cap: ReturnCap, own: list[Contract]
) -> Returned:
    """What was returned and sold between the two in the cap's period, since the contract began."""
    first, last = cap_days(cap, sale["day"], request.day)
    began_at = min(one.effective_from for one in own)
    row = await connection.fetchrow(
        QUERIES["returned_of_pair"], sale["seller_id"], request.company_id, first, last, began_at
    )
    return Returned(count=row["count"], cents=row["cents"], sold_cents=row["sold"])
