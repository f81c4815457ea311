"""What the flows need of the world: protocols, and the values that cross them.

Implemented in `exchange.stores` (books, offers, receipts, vault) and `exchange.buyers`
(courier). Every method that waits raises `faults.Unavailable` when its store is away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import date, datetime
from typing import Literal, Protocol

from msgspec import Raw, Struct

from exchange.core.auction import Candidate
from exchange.core.cascade import Assignment, Turn
from exchange.core.changes import CompanyChange
from exchange.core.contract import NamedClause
from exchange.core.lifecycle import State
from exchange.core.model import (
    Campaign,
    CampaignId,
    CompanyId,
    DeliveryId,
    DeliveryTarget,
    LeadId,
    Offer,
    Ping,
    PingId,
    SellerId,
)
from exchange.core.quality.flaws import BEST_SCORE, Flaw
from exchange.core.reasons import Reason
from exchange.core.rejection import Terms
from exchange.core.screen import SeenContact

Role = Literal["seller", "company", "operator"]


class Clock(Protocol):
    """Where the time comes from; the demo and the tests bring their own."""

    def now(self) -> datetime:
        """The present, aware, in UTC."""
        ...


class Contact(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The consumer's contact data, as posted. Never logged, never in a receipt."""

    first_name: str
    last_name: str
    phone: str | None = None
    email: str | None = None
    address: str | dict[str, str] | None = None


class PostRequest(Struct, frozen=True, kw_only=True):
    """A post as the wire read it. ``body_hash`` is over the canonical body, to tell repeats.

    ``contact_hashes`` are keyed hashes of the normalised contact by field, as a ping has them, and
    ``contact_keys`` the same without their fields. ``attributes`` are those repeated in the
    post, by name. ``phone`` is the contact's in E.164.
    """

    ping_id: PingId
    seller_id: SellerId
    idempotency_key: str
    body_hash: bytes
    contact: Contact
    contact_hashes: dict[str, str]
    contact_keys: tuple[str, ...]
    attributes: dict[str, object]
    received_at: datetime
    phone: str | None = None


class LegResult(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one leg: the seller's price in cents if it was sold, else why not.

    ``redirect_url`` is where the company that took it wants the consumer sent, ``clause`` the
    contract's that its reason follows from.
    """

    leg_id: str
    status: Literal["sold", "unsold", "timed_out"]
    price_cents: int | None = None
    reason: Reason | None = None
    redirect_url: str | None = None
    clause: NamedClause | None = None


class PostResult(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to a post; kept with the lead, so that a repeat reads the same."""

    ping_id: PingId
    lead_id: LeadId
    status: Literal["sold", "unsold", "refused"]
    price_cents: int | None = None
    legs: tuple[LegResult, ...] = ()
    reason: Reason | None = None
    test: bool = False


class KeptFacts(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What of a ping kept campaigns from it and stands nowhere else on its receipt.

    ``proofs`` are the names of the parts of its consent. Each is there only where a campaign fell
    for it.
    """

    captured_at: datetime | None = None
    proofs: tuple[str, ...] | None = None
    suppressed_by: tuple[CompanyId, ...] = ()
    sold_to: tuple[CompanyId, ...] = ()


class Receipt(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """All that decided one ping. No contact data. ``timings_us`` are microseconds by stage.

    ``flaws`` are what was found wrong with the lead, and ``quality_score`` what they leave.
    ``source`` is where there is no offer; an offer has its own. ``market`` is the newest version of
    a campaign that the worker held, 0 where it was not noted.
    """

    ping_id: PingId
    seller_id: SellerId
    vertical: str
    attributes: Raw
    status: Literal["offer", "no_offer", "refused"]
    decided_at: datetime
    max_buyers: int = 1
    min_price_cents: int = 0
    share: int | None = None
    legs_cents: tuple[int, ...] = ()
    expires_at: datetime | None = None
    reason: Reason | None = None
    reasons: dict[str, int] = {}
    premium: bool = False
    candidates: tuple[Candidate, ...] = ()
    timings_us: dict[str, int] = {}
    offer: Offer | None = None
    test: bool = False
    quality_score: int = BEST_SCORE
    flaws: tuple[Flaw, ...] = ()
    source: dict[str, str] = {}
    market: int = 0
    facts: KeptFacts | None = None


class Sealed(Struct, frozen=True):
    """Contact data encrypted: the id of the key, and nonce with ciphertext."""

    key_id: int
    data: bytes


class Outright(Struct, frozen=True, kw_only=True):
    """A lead's sale where nobody is to be asked: its first company takes it for certain.

    ``kind`` is the delivery's; ``answer`` what the seller reads if there is room for it.
    """

    delivery_id: DeliveryId
    assignment: Assignment
    campaign: Campaign
    kind: str
    now: datetime
    day: date
    rejection_window_s: int
    answer: PostResult


class Claim(Struct, frozen=True, kw_only=True):
    """A lead to be written down before any company hears of it; with its sale, where certain."""

    lead_id: LeadId
    request: PostRequest
    offer: Offer
    sealed: Sealed
    owner: str
    deadline_at: datetime
    outright: Outright | None = None


class LeadStatus(Struct, frozen=True, kw_only=True):
    """What the books say of a lead that was claimed before."""

    lead_id: LeadId
    ping_id: PingId
    seller_id: SellerId
    body_hash: bytes
    owner: str
    answer: PostResult | None


class Claimed(Struct, frozen=True, kw_only=True):
    """What became of a claim: what stood already, or whether the lead is sold with it.

    ``change`` is of the company that bought it, and of all the company's leads sold with this one.
    ``refusal`` is the answer to a lead whose contact may not be sold again: it is finished.
    """

    standing: LeadStatus | None = None
    refusal: PostResult | None = None
    is_sold: bool = False
    change: CompanyChange | None = None


class OpenLead(Struct, frozen=True, kw_only=True):
    """A lead in delivery: all that is needed to go on with it, here or on another worker.

    ``open`` are deliveries reserved and not settled; ``legs`` each leg's state.
    """

    lead_id: LeadId
    offer: Offer
    contact: Contact | None
    contact_keys: tuple[str, ...] = ()
    deadline_at: datetime
    legs: tuple[State, ...]
    turns: tuple[Turn, ...] = ()
    sold_cents: dict[int, int] = {}
    open: tuple[Assignment, ...] = ()


class Reservation(Struct, frozen=True, kw_only=True):
    """A company's leg, claimed: what it is charged is held until the delivery is settled."""

    delivery_id: DeliveryId
    lead_id: LeadId
    assignment: Assignment
    owner: str
    now: datetime
    day: date
    campaign: Campaign
    test: bool


class Settlement(Struct, frozen=True, kw_only=True):
    """How a reserved delivery ended. ``leg_state`` is what the leg becomes."""

    delivery_id: DeliveryId
    owner: str
    result: Literal["accepted", "refused", "failed", "unclear"]
    reason: Reason | None
    kind: str
    reference: str | None
    detail: str | None
    leg_state: State
    now: datetime
    rejection_window_s: int
    attempts: int


class Attempt(Struct, frozen=True, kw_only=True):
    """What one campaign's delivery came to after all its retries and backups.

    ``target`` is the index of the delivery target that answered last; ``detail`` is for people and
    holds no contact data.
    """

    result: Literal["accepted", "refused", "failed", "unclear"]
    target: int = 0
    kind: str = ""
    reason: Reason | None = None
    reference: str | None = None
    redirect_url: str | None = None
    detail: str | None = None
    attempts: int = 1


class Parcel(Struct, frozen=True, kw_only=True):
    """What a company is sent: the whole lead, under one delivery id.

    ``token`` is what the company's own bidder gave with its bid, ``consent`` the pinged proof of
    consent, ``quality_score`` the lead's with its contact.
    """

    delivery_id: DeliveryId
    lead_id: LeadId
    campaign_id: CampaignId
    vertical: str
    price_cents: int
    attributes: Raw
    contact: Contact
    test: bool
    token: str | None = None
    consent: dict[str, str] = {}
    quality_score: int = BEST_SCORE


class Answer(Struct, frozen=True, kw_only=True):
    """What one request to a company's system came to.

    ``unclear``: the request may have arrived, and no answer came. ``redirect_url`` is where the
    company wants the consumer sent.
    """

    result: Literal["accepted", "refused", "failed", "unclear"]
    reason: Reason | None = None
    reference: str | None = None
    detail: str | None = None
    redirect_url: str | None = None


class Courier(Protocol):
    """Hands one parcel to one delivery target, once."""

    async def hand_over(self, target: DeliveryTarget, parcel: Parcel, timeout_s: float) -> Answer:
        """Try once; never raises for what a company's system does."""
        ...


class Offers(Protocol):
    """Open offers, in the fast store."""

    async def put(self, ping_id: PingId, body: bytes, ttl_s: int) -> None:
        """Keep an offer, given as JSON, for at least ``ttl_s`` seconds."""
        ...

    def put_unseen(
        self, asks: Sequence[tuple[Ping, bytes, int]]
    ) -> asyncio.Future[Sequence[SeenContact | None]]:
        """Keep the offers of some pings, each unless anything is known of its contact; that, if so.

        Looking and keeping are one step, and so is noting that the seller pinged this contact. An
        ask is a ping, its offer as JSON (empty where there is none), and the seconds to keep it.
        Raises Unavailable when too many wait already.
        """
        ...

    async def get(self, ping_id: PingId) -> Offer | None:
        """The offer of a ping, expired or not, if it is still held."""
        ...

    async def count_refused(self, ping_id: PingId, ttl_s: int) -> int:
        """How many contacts of a ping were refused, with this one; known for ``ttl_s`` seconds."""
        ...

    async def saw(
        self, keys: Sequence[str], seller_id: SellerId, companies: Sequence[CompanyId], at: datetime
    ) -> None:
        """Remember a sold contact."""
        ...


class Receipts(Protocol):
    """Receipts, written behind the ping."""

    def keep(self, receipt: Receipt, body: bytes = b"") -> None:
        """Queue a receipt for writing; drops the oldest, counted, when the queue is full.

        ``body`` is its offer as JSON, as it was kept in the fast store.
        """
        ...

    async def get(self, ping_id: PingId) -> Receipt | None:
        """A receipt, queued or written."""
        ...


class Vault(Protocol):
    """Encrypts contact data, and what may quote it."""

    def seal(self, contact: Contact, lead_id: LeadId) -> Sealed:
        """Encrypt for one lead."""
        ...

    def open(self, sealed: Sealed, lead_id: LeadId) -> Contact:
        """Decrypt. Raises VaultError if the key is gone or the data were changed."""
        ...

    def seal_note(self, note: str, lead_id: LeadId) -> Sealed:
        """Encrypt what was written of a lead."""
        ...

    def open_note(self, sealed: Sealed, lead_id: LeadId) -> str:
        """Decrypt a note. Raises VaultError like `open`."""
        ...


class Books(Protocol):
    """The truth about leads: every method is one transaction, and repeating it changes nothing.

    What several leads ask at one moment may share a transaction, and with it one change of a
    company; each gets what it would have got alone, in the order they asked.
    """

    async def claim(self, claim: Claim) -> Claimed:
        """Write a lead down, or tell what the books already say of its ping or key.

        An outright sale is made with it where there surely is room; where it is not, the lead is
        claimed only, and whether there is room is for `reserve` to say. A lead whose contact was
        sold within the duplicate windows, or is in another open lead, is refused for good.
        """
        ...

    async def status(self, lead_id: LeadId) -> LeadStatus | None:
        """What the books say of a lead."""
        ...

    async def reserve(self, reservation: Reservation) -> tuple[str, CompanyChange | None]:
        """Hold caps, budget and balance for a delivery, and write it down before it is made.

        The word is ``reserved``, ``lost`` (another worker owns the lead now), or the code of the
        reason there is none for it (suppressed, sold_before, inactive, cap, budget, balance).
        """
        ...

    async def claimed(
        self, ping_id: PingId, seller_id: SellerId, idempotency_key: str
    ) -> LeadStatus | None:
        """The lead a ping or an idempotency key was already posted as, if any."""
        ...

    async def settle(self, settlement: Settlement) -> tuple[bool, CompanyChange | None]:
        """Book how a delivery ended: sale and ledger, release, or CRM rejection.

        False when it was settled before, or another worker owns the lead. A test lead's delivery
        changes no company.
        """
        ...

    async def finish(
        self,
        lead_id: LeadId,
        owner: str,
        answer: PostResult,
        states: Sequence[State],
        now: datetime,
    ) -> PostResult:
        """Close a lead with its answer; gives the answer that stands, this one or an earlier.

        Raises LostLead where another worker has taken the lead over and not finished it yet.
        """
        ...

    async def adopt(
        self, owner: str, stranded: Sequence[LeadId], limit: int, silent_s: float
    ) -> list[OpenLead]:
        """Take over unfinished leads of workers not heard of for ``silent_s`` seconds.

        ``stranded`` are this worker's own that it could not go on with.
        """
        ...

    async def heartbeat(self, owner: str) -> None:
        """Say that this worker lives."""
        ...

    async def close_windows(self, now: datetime, limit: int) -> int:
        """Make sales final whose rejection window has closed; gives how many leads changed."""
        ...


class RejectRequest(Struct, frozen=True, kw_only=True):
    """A company's wish to return a lead; ``terms`` hold where no contract says otherwise.

    Where its terms say so, or it is ``reviewed`` whatever they say, it waits for the operator,
    until ``review_until`` at most. A reason that nobody could read yet is REASON_UNCLEAR.
    """

    lead_id: LeadId
    company_id: CompanyId
    reason: Reason
    note: str | None
    now: datetime
    day: date
    terms: Terms
    review_until: datetime
    reviewed: bool = False


class Rejected(Struct, frozen=True, kw_only=True):
    """A rejection that was taken. ``company`` is the whole company right after it, on ``day``.

    One that is in review counts in the company's rates, and is credited once it is approved.
    ``is_repeat`` tells that it was taken by an earlier request, and nothing was booked now.
    """

    rejection_id: str
    lead_id: LeadId
    reason: Reason
    value_cents: int
    rejected_at: datetime
    day: date
    company: CompanyChange
    status: Literal["accepted", "in_review"] = "accepted"
    is_repeat: bool = False


class Returns(Protocol):
    """Manual rejections of sold leads."""

    async def earlier(self, company_id: CompanyId, lead_id: LeadId) -> Rejected | None:
        """What a company's rejection of this lead came to, if it was rejected.

        Raises Conflict where it was declined or reversed since.
        """
        ...

    async def reject(self, request: RejectRequest) -> Rejected:
        """Return a lead, once; a repeat gives what the first gave.

        Raises Conflict with the rule that refuses it, NotFound where the company took no such
        lead.
        """
        ...
