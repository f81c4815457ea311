"""What returns need of the world beyond being booked, and what the wire may ask of them.

Protocols, and the values that cross them. Implemented in `exchange.stores` (the books of reviews
and disputes) and by `exchange.flow.returns`. Source: rules §8.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Literal, Protocol

from msgspec import Struct

from exchange.core.changes import CompanyChange
from exchange.core.model import CampaignId, CompanyId, LeadId, PingId, SellerId
from exchange.core.reasons import Reason
from exchange.core.returning import ReturnPolicy, ReturnStatus
from exchange.core.standing import Standing
from exchange.flow.faults import Fault
from exchange.flow.ports import Rejected, RejectRequest, Role

Decider = Literal["operator", "time"]
Kind = Literal["manual", "crm"]


class Statement(Struct, frozen=True, kw_only=True):
    """What a seller says against a return; sealed at rest, as it may quote the contact."""

    statement: str
    evidence: tuple[str, ...] = ()


class Dispute(Struct, frozen=True, kw_only=True):
    """A seller's dispute. ``upheld``: the return stands; ``overturned``: it was reversed.

    ``said`` and ``decision`` are None where their key is gone.
    """

    dispute_id: str
    status: Literal["open", "upheld", "overturned"]
    opened_at: datetime
    said: Statement | None
    decided_at: datetime | None = None
    decision: str | None = None


class Return(Struct, frozen=True, kw_only=True):
    """A rejection with all that became of it, in cents.

    ``kind`` crm is a delivery that failed for good: it was never sold, and no seller sees it.
    ``reason`` is REASON_UNCLEAR while nobody has said what an unclear text stands for. ``clause``
    is the contract's that it was declined by, where nobody reviewed it in time.
    """

    rejection_id: str
    kind: Kind
    status: ReturnStatus
    lead_id: LeadId
    ping_id: PingId
    vertical: str
    company_id: CompanyId
    campaign_id: CampaignId
    seller_id: SellerId
    reason: Reason
    note: str | None
    value_cents: int
    seller_cents: int
    rejected_at: datetime
    review_until: datetime | None = None
    accepted_at: datetime | None = None
    decided_at: datetime | None = None
    decided_by: Decider | None = None
    decision: str | None = None
    clause: Mapping[str, object] = {}
    dispute: Dispute | None = None


class Foreseen(Struct, frozen=True, kw_only=True):
    """A rejection that would be taken: what would be booked, and on which day and era.

    ``returned_before``: it was already, and a repeat books nothing, so ``value_cents`` is 0.
    """

    outcome: Literal["accepted", "in_review", "returned_before"]
    reason: Reason
    value_cents: int
    day: date
    era: int


class BidEffect(Struct, frozen=True, kw_only=True):
    """A campaign's exclusive list price, and what it is rectified to before and after, in cents."""

    campaign_id: CampaignId
    name: str
    base_cents: int
    before_cents: int
    after_cents: int


class Preview(Struct, frozen=True, kw_only=True):
    """What a rejection would do; ``refusal`` is the rule against it, and then nothing changes."""

    lead_id: LeadId
    foreseen: Foreseen | None
    refusal: Fault | None
    before: Standing
    after: Standing
    bids: tuple[BidEffect, ...] = ()


class Line(Struct, frozen=True, kw_only=True):
    """A line of a bulk return; ``fault`` where it could not be read."""

    number: int
    lead_id: str = ""
    reason_code: str | None = None
    text: str | None = None
    note: str | None = None
    review: bool = False
    fault: Fault | None = None


class LineResult(Struct, frozen=True, kw_only=True):
    """What became of a line, or would: ``standing`` is after it, ``fault`` why it was refused.

    ``value_cents`` is what was booked for this line: 0 where the lead was returned before.
    """

    number: int
    lead_id: str
    status: Literal["accepted", "in_review", "returned_before", "refused", "not_tried"]
    rejection_id: str | None = None
    reason: Reason | None = None
    value_cents: int | None = None
    standing: Standing | None = None
    fault: Fault | None = None


class Foreseeing(Protocol):
    """The books' word on a rejection that is not made."""

    async def earlier(self, company_id: CompanyId, lead_id: LeadId) -> Rejected | None:
        """What a company's rejection of this lead came to, as `flow.ports.Returns` has it."""
        ...

    async def foresee(self, request: RejectRequest) -> Foreseen:
        """What a rejection would book; raises what making it would raise."""
        ...


class Reviews(Protocol):
    """Returns after they were asked for. Every change is one transaction, and repeating it
    changes nothing; the company's change is None where nothing was changed.
    """

    async def returns(
        self,
        role: Role,
        subject_id: str,
        after: str,
        limit: int,
        kind: Kind | None = None,
        counting_since: date | None = None,
    ) -> Sequence[Return]:
        """A company's or a seller's returns, or an operator's of everybody, by id.

        Without a ``kind`` an operator's are of both, all others' manual; a seller's always are.
        ``counting_since``: of a company's, those its rates count that were assigned on that day or
        later.
        """
        ...

    async def in_review(self, after: str, limit: int) -> Sequence[Return]:
        """Returns that wait for a review."""
        ...

    async def open_disputes(self, after: str, limit: int) -> Sequence[Return]:
        """Returns whose dispute waits for a decision, in the order of the disputes' ids."""
        ...

    async def one(self, rejection_id: str) -> Return | None:
        """A rejection with all that became of it."""
        ...

    async def decide_review(
        self,
        rejection_id: str,
        *,
        approved: bool,
        reason: Reason | None,
        sentence: str | None,
        now: datetime,
        day: date,
    ) -> CompanyChange | None:
        """Approve or decline. Raises NotFound, Invalid, Conflict where it was decided otherwise."""
        ...

    async def decide_due(self, now: datetime, day: date) -> CompanyChange | None:
        """Decide one return whose review nobody decided in time; None if there is none.

        Silence approves, but no text without a reason where the contract names reasons.
        """
        ...

    async def open_dispute(
        self, rejection_id: str, seller_id: SellerId, said: Statement, now: datetime
    ) -> None:
        """Take a seller's dispute down. Raises NotFound, Conflict."""
        ...

    async def decide_dispute(
        self, dispute_id: str, *, overturned: bool, sentence: str, now: datetime, day: date
    ) -> tuple[str, CompanyChange | None]:
        """Decide a dispute; gives the return's id. Raises NotFound, Conflict."""
        ...

    async def reverse(
        self, rejection_id: str, *, sentence: str, now: datetime, day: date
    ) -> CompanyChange | None:
        """Take a rejection back, whatever its kind. Raises NotFound, Conflict."""
        ...


class ReturnDoors(Protocol):
    """Returns as the wire sees them."""

    @property
    def policy(self) -> ReturnPolicy:
        """The operator's policy of returns."""
        ...

    async def preview(
        self,
        company_id: CompanyId,
        lead_id: LeadId,
        *,
        reason_code: str | None,
        text: str | None,
        review: bool,
    ) -> Preview:
        """What a rejection would do. Raises NotFound, and Invalid for a reason that is none."""
        ...

    def bulk(
        self, company_id: CompanyId, lines: Iterable[Line], *, dry_run: bool
    ) -> AsyncGenerator[LineResult, None]:
        """Return leads line by line; no line stops the others.

        Raises Unavailable, before the first, while too many files are under way.
        """
        ...

    async def returns(
        self,
        role: Role,
        subject_id: str,
        after: str,
        limit: int,
        kind: Kind | None = None,
        *,
        counting: bool = False,
    ) -> Sequence[Return]:
        """What a caller may see of returns; ``counting``: of a company's, those in its rates."""
        ...

    async def one(self, role: Role, subject_id: str, rejection_id: str) -> Return:
        """One return. Raises NotFound where there is none, or none of the caller's."""
        ...

    async def in_review(self, after: str, limit: int) -> Sequence[Return]:
        """Returns that wait for a review."""
        ...

    async def open_disputes(self, after: str, limit: int) -> Sequence[Return]:
        """Returns whose dispute waits for a decision."""
        ...

    async def decide_review(
        self, rejection_id: str, *, approved: bool, reason: Reason | None, sentence: str | None
    ) -> Return:
        """Approve or decline a return under review."""
        ...

    async def dispute(self, rejection_id: str, seller_id: SellerId, said: Statement) -> Return:
        """Dispute a return of the seller's lead."""
        ...

    async def decide_dispute(self, dispute_id: str, *, overturned: bool, sentence: str) -> Return:
        """Let a disputed return stand, or reverse it."""
        ...

    async def reverse(self, rejection_id: str, sentence: str) -> Return:
        """Take a rejection back."""
        ...
