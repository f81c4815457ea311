"""The exchange as a contestant: set up over its own API, as an operator and companies would.

Speaks only the wire once the worker runs; a call that is refused puts the contestant out, with the
words of the refusal.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from typing import Any, Final

from benchmarks.peers.arena import ROOT, Arena, Bidders
from benchmarks.peers.toolchains import Unavailable
from benchmarks.processes import BenchFailed, Served
from benchmarks.running import OPERATOR_KEY
from exchange import __version__

CALL_S: Final = 10.0
BIDDER_TIMEOUT_MS: Final = 300
"""What each campaign gives its bidder at most; the ping's own deadline may be shorter."""

MAX_INFLIGHT: Final = 2_000
"""Pings at once: the plain peers have no bound, and a hanging bidder keeps many waiting."""


class ExchangeContestant:
    """One worker with a remote campaign for each bidder, by calls or by bid stream."""

    def __init__(self, name: str, *, stream: bool) -> None:
        self.name = name
        self.speaks_stream = stream

    def prepare(self) -> str:
        """See that the bidders it needs are there."""
        if self.speaks_stream:
            command = [sys.executable, "-m", "bidders", "fast", "--help"]
            done = subprocess.run(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, timeout=CALL_S
            )
            if done.returncode != 0:
                raise Unavailable("the bidders here hold no bid stream")
        return f"version {__version__}, one worker"

    def start(self, arena: Arena, bidders: Bidders, count: int) -> Served:
        """Start a worker on a market of its own, with nobody in it."""
        market = arena.exchange.market(0)
        return arena.exchange.start_worker(
            {
                **market,
                "EXCHANGE_ALLOW_PRIVATE_ADDRESSES": "1",
                "EXCHANGE_PING_MAX_INFLIGHT": str(MAX_INFLIGHT),
            }
        )

    def enter(self, served: Served, bidders: Bidders, count: int) -> str:
        """Bring in a seller, and a company with a campaign for each bidder."""
        served.await_ready()
        seller = _call(served.url, "/v1/sellers", {"name": "Peers' seller"})
        scheme, path = ("ws", "/stream") if self.speaks_stream else ("http", "/bid")
        for number, url in enumerate(bidders.urls(count, scheme, path)):
            company = _call(served.url, "/v1/companies", {"name": f"Bidder {number}"})
            remote: dict[str, Any] = {"url": url, "timeout_ms": BIDDER_TIMEOUT_MS}
            if self.speaks_stream:
                remote = {"url": url, "stream": True}
            campaign = {
                "company_id": company["id"],
                "name": f"Bidder {number}",
                "vertical": "solar",
                "bid": {"remote": remote},
                "delivery": [{"kind": "inbox"}],
            }
            _call(served.url, "/v1/campaigns", campaign)
        return str(seller["api_key"])


def _call(base_url: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Make a call as the operator. Raises BenchFailed with the words of a refusal."""
    request = urllib.request.Request(
        base_url + path,
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {OPERATOR_KEY}"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=CALL_S) as answer:
            given: dict[str, Any] = json.load(answer)
            return given
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace")
        raise BenchFailed(f"refused: {path} answered {error.code}: {_detail(said)}") from None
    except OSError as error:
        raise BenchFailed(f"{path} could not be called: {error}") from None


def _detail(said: str) -> str:
    """What a problem says of itself, with the field; else the text as it is."""
    try:
        problem = json.loads(said)
        words = str(problem.get("detail") or problem["title"])
        return f"{problem['field']}: {words}" if problem.get("field") else words
    except (ValueError, KeyError, AttributeError):
        return said[:200]
