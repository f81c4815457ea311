"""Leads as their company, and their seller, see them. Implements `flow.registry.Inbox`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter

from exchange.core.model import CompanyId, LeadId, PingId, SellerId
from exchange.core.quality.grading import posted_score
from exchange.core.reasons import Reason
from exchange.flow.ports import Contact, Sealed, Vault
from exchange.flow.registry import DeliveredLead, PostedOffer, SoldLead, SoldLeg
from exchange.stores.offer_bodies import read_offer
from exchange.stores.postgres import Postgres, Record
from exchange.stores.vault import VaultError


class PostgresInbox:
    """A company's leads, their contact opened for it."""

    def __init__(self, postgres: Postgres, vault: Vault) -> None:
        self._postgres = postgres
        self._vault = vault

    async def leads(self, company_id: CompanyId, after: str, limit: int) -> Sequence[DeliveredLead]:
        """Leads a company took, in the order of their ids, those after ``after``."""
        rows = await self._postgres.rows("delivered_leads", company_id, after, limit, None)
        return [self._lead(row) for row in rows]

    async def lead(self, company_id: CompanyId, lead_id: LeadId) -> DeliveredLead | None:
        """One lead a company took."""
        row = await self._postgres.row("delivered_leads", company_id, "", 1, lead_id)
        return None if row is None else self._lead(row)

    async def sales(self, seller_id: SellerId, after: str, limit: int) -> Sequence[SoldLead]:
        """Leads a seller sold, in the order of their ids, those after ``after``."""
        rows = await self._postgres.rows("sold_leads", seller_id, after, limit)
        return [_sold(list(legs)) for _, legs in groupby(rows, key=itemgetter("id"))]

    async def posted(self, ping_id: PingId) -> PostedOffer | None:
        """The lead a ping was posted as, if it was."""
        row = await self._postgres.row("posted_offer", ping_id)
        if row is None:
            return None
        return PostedOffer(lead_id=row["id"], offer=read_offer(row["offer"]))

    def _lead(self, row: Record) -> DeliveredLead:
        offer = read_offer(row["offer"])
        reason = row["reason"]
        return DeliveredLead(
            lead_id=row["id"],
            delivery_id=row["delivery_id"],
            campaign_id=row["campaign_id"],
            vertical=row["vertical"],
            status=row["sale_state"] or "sold",
            price_cents=row["charged"],
            attributes=offer.attributes,
            contact=self._contact(row),
            delivered_at=row["done_at"],
            rejectable_until=row["window_closes_at"],
            rejection_reason=None if reason is None else Reason(reason),
            test=row["test"],
            consent=offer.consent,
            quality_score=posted_score(offer),
            rejection_status=row["rejection_status"],
        )

    def _contact(self, row: Record) -> Contact | None:
        """One lead's contact; a lost key costs only the leads it encrypted."""
        try:
            return self._vault.open(Sealed(row["contact_key_id"], row["contact"]), row["id"])
        except VaultError:
            return None


def _sold(rows: Sequence[Record]) -> SoldLead:
    """A lead of the rows of its legs."""
    lead = rows[0]
    return SoldLead(
        lead_id=lead["id"],
        ping_id=lead["ping_id"],
        vertical=lead["vertical"],
        source=read_offer(lead["offer"]).source,
        sold_at=min(row["sold_at"] for row in rows),
        legs=tuple(
            SoldLeg(
                leg=row["leg"],
                seller_cents=row["seller_cents"],
                status=row["state"],
                rejectable_until=row["window_closes_at"],
            )
            for row in rows
        ),
    )
