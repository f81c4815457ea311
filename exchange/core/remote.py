"""A company's own bidder: where it is asked, and within what bounds its bids count.

Plain data, saved with the campaign. Source: rules §7 (a late or hostile bidder costs only its own
bid) and the wire's contract.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from exchange.core.dialect import Dialect, PresetUse
from exchange.core.reasons import Reason


class Remote(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a campaign's bids are asked for, instead of read from a price list.

    ``shares`` are the share counts it is asked for (1 is exclusive). ``timeout_ms`` is the most
    it is given, ``max_price_cents`` the most that is believed, ``max_per_s`` how often it is asked
    at most. With ``stream`` the ``url`` is ws or wss, and each worker of the exchange keeps one
    WebSocket to it, on which pings and bids go in batches; else it is http or https. With
    ``simulate`` it is asked and its bids are noted, and never count. How it is spoken to is
    a dialect or a preset, at most one of them; with neither, it is the exchange's own way.
    """

    url: str | None = None
    timeout_ms: int = 300
    max_price_cents: int = 1_000_00
    max_per_s: int | None = None
    shares: tuple[int, ...] = (1,)
    stream: bool = False
    simulate: bool = False
    dialect: Dialect | None = None
    preset: PresetUse | None = None


class Heard(Struct, frozen=True, gc=False):
    """What a campaign's bidder said at one share count: a bid in cents, or why there is none."""

    cents: int | None = None
    token: str | None = None
    reason: Reason | None = None


Hearing = Mapping[tuple[str, int], Heard]
"""What bidders said in one auction, by campaign id and share count."""
