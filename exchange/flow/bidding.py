"""What an auction needs of companies' own bidders: a question out, an answer or a reason back.

Implemented in `exchange.buyers`. No answer is ever an exception: whatever a bidder does costs only
its own bid. Source: rules §7.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Raw, Struct

from exchange.core.model import CampaignId, CompanyId, PingId
from exchange.core.quality.flaws import BEST_SCORE
from exchange.core.remote import Heard, Remote


class Question(Struct, frozen=True, kw_only=True, gc=False):
    """An anonymous lead as bidders are asked about it. ``attributes`` is its JSON object.

    ``max_buyers`` is how many companies may share it; ``test`` leads touch no money.
    ``quality_score`` is 0 to 100.
    """

    ping_id: PingId
    vertical: str
    attributes: Raw
    max_buyers: int
    test: bool
    quality_score: int = BEST_SCORE


class Asked(Struct, frozen=True, kw_only=True, gc=False):
    """One campaign to be asked; ``share`` is the share count (1 is exclusive)."""

    campaign_id: CampaignId
    company_id: CompanyId
    remote: Remote
    share: int


class Said(Heard, frozen=True, kw_only=True, gc=False):
    """What came of asking one campaign: a bid in cents, or why there is none.

    ``token`` comes back to the bidder with the post. ``took_us`` is how long it took, waiting for
    a connection included; a simulated bid has both ``cents`` and the reason.
    """

    campaign_id: CampaignId
    share: int
    took_us: int = 0


class SimulatedBids(Struct, frozen=True, kw_only=True):
    """What a bidder bid under ``simulate``, which never counted; ``last_at`` is in Unix seconds."""

    count: int
    total_cents: int
    last_cents: int
    last_at: float


class BidderState(Struct, frozen=True, kw_only=True):
    """How a campaign's bidder is doing, as one worker sees it since it first asked, or several.

    ``state`` is well, faltering, resting or (a stream) away, ``probability`` how often it is asked
    at present. ``reasons`` counts by code why it made no bid. Times are of its last calls, in
    milliseconds, connecting included; None before the first. ``simulated`` is what it bid under
    ``simulate``, None where it did not. ``workers`` ask it.
    """

    state: str
    probability: float
    bids: int
    reasons: dict[str, int]
    p50_ms: float | None
    p99_ms: float | None
    connections: int
    waiting: int
    workers: int = 1
    simulated: SimulatedBids | None = None


class Bidders(Protocol):
    """Every company's own bidder, over HTTP or a bid stream.

    ``deadline`` is on the running loop's clock, in seconds. Whoever has not answered then gets
    a reason; bids that came are kept. Never raises for what a bidder does.
    """

    def begin(
        self,
        question: Question,
        asked: Sequence[Asked],
        deadline: float,
        told: Callable[[Sequence[Said]], None],
    ) -> object:
        """Ask all at once; ``told`` hears one word for each asked, in order, by the deadline.

        It may hear before this returns, where nobody has to be waited for.
        """
        ...

    async def ask(
        self, question: Question, asked: Sequence[Asked], deadline: float
    ) -> Sequence[Said]:
        """Ask all at once, and wait; whoever is cancelled meanwhile leaves nothing behind."""
        ...
