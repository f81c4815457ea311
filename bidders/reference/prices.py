"""Prices that follow from the ping alone: one for all, or one by where the lead lives.

Pure. Each gives a function for `Bidder.price`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bidders.kit.wire import Bid, Ping, Price


def flat_price(price: Price) -> Callable[[Ping], Bid]:
    """Bid the same for every lead. Raises what `Bid` does."""
    bid = Bid(price)
    return lambda ping: bid


class AreaPrices:
    """Bids by the ping's attributes ``zip`` and ``state``: the longest ZIP prefix in the table,
    else the state, else ``otherwise``; None is no bid. Call it with a ping.
    """

    def __init__(
        self,
        *,
        by_zip_prefix: Mapping[str, Price] | None = None,
        by_state: Mapping[str, Price] | None = None,
        otherwise: Price | None = None,
    ) -> None:
        self._by_zip_prefix = {area: Bid(price) for area, price in (by_zip_prefix or {}).items()}
        self._by_state = {area: Bid(price) for area, price in (by_state or {}).items()}
        self._otherwise = None if otherwise is None else Bid(otherwise)
        self._longest = max(map(len, self._by_zip_prefix), default=0)

    def __call__(self, ping: Ping) -> Bid | None:
        """Price a ping."""
        zip_code = str(ping.attributes.get("zip", ""))
        for length in range(min(len(zip_code), self._longest), 0, -1):
            if (bid := self._by_zip_prefix.get(zip_code[:length])) is not None:
                return bid
        return self._by_state.get(str(ping.attributes.get("state", "")), self._otherwise)
