"""A company's own bidder: where it is asked, and within what bounds its bids count.

Plain data, saved with the campaign. Source: rules §7 (a late or hostile bidder costs only its own
bid) and the wire's contract.
"""

from __future__ import annotations

from msgspec import Struct

from exchange.core.dialect import Dialect, PresetUse


class Remote(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a campaign's bids are asked for, instead of read from a price list.

    ``shares`` are the share counts it is asked for (1 is exclusive). ``timeout_ms`` is the most
    it is given, ``max_price_cents`` the most that is believed, ``max_per_s`` how often it is asked
    at most. With ``stream`` bids come over the company's own bid stream and ``url`` is not used;
    with ``simulate`` it is asked and its bids are noted, and never count. How it is spoken to is
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
