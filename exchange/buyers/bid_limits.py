"""The bounds within which companies' bidders are asked, in a worker; defaults are the settings'."""

from __future__ import annotations

from msgspec import Struct


class BidLimits(Struct, frozen=True, kw_only=True):
    """``_ms`` are milliseconds, ``_s`` seconds; connections and calls are counted for a worker.

    ``network_ms`` is what the way there and back takes, ``closing_ms`` what the auction needs after
    the last bid; what is left of a deadline is the bidder's, unless it is under ``least_ms``.
    ``late_s`` is how long the answer to a call that was given up is still read, so that its
    connection can be used again.
    """

    network_ms: int = 5
    closing_ms: int = 5
    least_ms: int = 20
    connect_ms: int = 1_000
    max_connections: int = 1_024
    max_connections_per_bidder: int = 32
    max_waiting_per_bidder: int = 256
    max_answer_bytes: int = 65_536
    max_stream_pings: int = 4_096
    keep_alive_s: float = 4.0
    late_s: float = 1.0
    dns_s: float = 30.0
    forget_s: float = 600.0
