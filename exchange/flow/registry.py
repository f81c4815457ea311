"""Who and what is registered: accounts, keys, campaigns, deposits; and what is kept of leads.

The values and the protocol; implemented in `exchange.stores`. Every write is idempotent by the id
or key it is given. A change of a campaign or company is in this worker's market, and told to the
others, before the method returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Protocol

from msgspec import Raw, Struct

from exchange.core.model import Campaign, CampaignId, CompanyId, LeadId, Offer, PingId, SellerId
from exchange.core.quality.flaws import BEST_SCORE
from exchange.core.reasons import Reason
from exchange.core.returning import ReturnStatus
from exchange.core.standing import Window
from exchange.flow.ports import Contact, Role


class Caller(Struct, frozen=True, kw_only=True):
    """Whoever holds an API key. An operator's ``subject_id`` is ``"operator"``.

    ``active`` is False for a seller the operator blocked.
    """

    role: Role
    subject_id: str
    active: bool = True


class Account(Struct, frozen=True, kw_only=True):
    """A seller or a company. ``prepaid`` and the cents are a company's only."""

    id: str
    role: Role
    name: str
    active: bool
    created_at: datetime
    prepaid: bool = False
    balance_cents: int = 0
    available_cents: int | None = None


class CampaignRecord(Struct, frozen=True, kw_only=True):
    """A campaign with its history in two dates."""

    campaign: Campaign
    version: int
    created_at: datetime
    updated_at: datetime


class DeliveredLead(Struct, frozen=True, kw_only=True):
    """A lead as the company that took it sees it. ``status`` is sold, in_review, rejected or
    final.

    ``contact`` is None where the key it was encrypted with is no longer configured. ``consent`` is
    the pinged proof of consent, ``quality_score`` the lead's with its contact.
    """

    lead_id: LeadId
    delivery_id: str
    campaign_id: CampaignId
    vertical: str
    status: str
    price_cents: int
    attributes: Raw
    contact: Contact | None
    delivered_at: datetime
    rejectable_until: datetime | None
    rejection_reason: Reason | None
    test: bool
    consent: dict[str, str] = {}
    quality_score: int = BEST_SCORE
    rejection_status: ReturnStatus | None = None


class PostedOffer(Struct, frozen=True, kw_only=True):
    """A lead by the offer it was posted under, its contact's flaws in it."""

    lead_id: LeadId
    offer: Offer


class SoldLeg(Struct, frozen=True, kw_only=True):
    """One buyer's part of a sold lead. ``status`` is sold, in_review, rejected or final."""

    leg: int
    seller_cents: int
    status: Literal["sold", "in_review", "rejected", "final"]
    rejectable_until: datetime


class SoldLead(Struct, frozen=True, kw_only=True):
    """A lead as the seller that sold it sees it: no contact, no company."""

    lead_id: LeadId
    ping_id: PingId
    vertical: str
    source: dict[str, str]
    sold_at: datetime
    legs: tuple[SoldLeg, ...]


class Reset(Struct, frozen=True, kw_only=True):
    """A CRM reset, asked for and perhaps approved."""

    reset_id: str
    company_id: CompanyId
    status: str
    asked_at: datetime
    approved_at: datetime | None


class Registry(Protocol):
    """Accounts, keys and campaigns, and the reading side of what was sold."""

    async def who(self, api_key: str) -> Caller | None:
        """The holder of an API key; None if unknown or revoked."""
        ...

    def known(self, api_key: str) -> Caller | None:
        """The holder of an API key, where that was looked up a moment ago; no wait."""
        ...

    async def create_account(
        self, role: Role, name: str, *, prepaid: bool, now: datetime
    ) -> tuple[Account, str]:
        """A new seller or company, and its first API key in clear, shown this once."""
        ...

    async def accounts(self, role: Role, after: str, limit: int) -> Sequence[Account]:
        """Accounts of a role in the order of their ids, those after ``after``."""
        ...

    async def account(self, role: Role, account_id: str) -> Account | None:
        """One seller or company."""
        ...

    async def set_active(
        self, role: Role, account_id: str, active: bool, now: datetime
    ) -> Account | None:
        """Block or unblock a seller or company."""
        ...

    async def deposit(
        self, company_id: CompanyId, cents: int, key: str, now: datetime
    ) -> Account | None:
        """Add to a balance, once per ``key``. Raises Conflict for a key used with other cents."""
        ...

    async def save_campaign(
        self, campaign: Campaign, *, create: bool, now: datetime
    ) -> CampaignRecord | None:
        """Create or replace a campaign; None when replacing one that is not this company's."""
        ...

    async def delete_campaign(
        self, campaign_id: CampaignId, company_id: CompanyId, now: datetime
    ) -> bool:
        """Delete a campaign of a company; False if there is none. Open offers still stand."""
        ...

    async def campaign(self, campaign_id: CampaignId) -> CampaignRecord | None:
        """One campaign."""
        ...

    async def campaigns(
        self, company_id: CompanyId | None, after: str, limit: int
    ) -> Sequence[CampaignRecord]:
        """Campaigns of a company (or all) in the order of their ids."""
        ...

    async def window(self, company_id: CompanyId, now: datetime) -> Window | None:
        """A company's window from the books."""
        ...

    async def ask_reset(self, company_id: CompanyId, now: datetime) -> Reset:
        """Ask for a CRM reset; an open request is answered again.

        Raises Conflict where it is too early or too soon, NotFound for no such company.
        """
        ...

    async def approve_reset(self, reset_id: str, now: datetime) -> Reset | None:
        """Approve a reset (once; a repeat answers the same); None if there is none."""
        ...

    async def resets(self, company_id: CompanyId | None, after: str, limit: int) -> Sequence[Reset]:
        """Resets, for one company or all."""
        ...


class Inbox(Protocol):
    """Leads as the company that took them, and the seller that sold them, see them."""

    async def leads(self, company_id: CompanyId, after: str, limit: int) -> Sequence[DeliveredLead]:
        """Leads a company took, in the order of their ids, those after ``after``."""
        ...

    async def lead(self, company_id: CompanyId, lead_id: LeadId) -> DeliveredLead | None:
        """One lead a company took."""
        ...

    async def sales(self, seller_id: SellerId, after: str, limit: int) -> Sequence[SoldLead]:
        """Leads a seller sold, in the order of their ids, those after ``after``."""
        ...

    async def posted(self, ping_id: PingId) -> PostedOffer | None:
        """The lead a ping was posted as, if it was."""
        ...
