"""CRM sinks: one server, many companies' CRMs by path.

In a test:

    async with crm_server(seed=7, port=0) as crm:
        crm.set_behaviour("mine", Behaviour(fail_rate=1.0, failure="hang"))
        ...  # deliver to crm.leads_url("mine")
        assert crm.counts("mine").failed == 1
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiohttp import web

from bidders.behaviour import Answer, Behaviour, Failure, Outcome, draw_fate, respond
from bidders.kit.bidder import Bidder
from bidders.routes import build_app
from bidders.sink import Counts, Crms, SeenLead, UnknownCrm

__all__ = [
    "READY_MADE",
    "Answer",
    "Behaviour",
    "Counts",
    "CrmServer",
    "Failure",
    "Outcome",
    "SeenLead",
    "UnknownCrm",
    "crm_server",
    "draw_fate",
    "respond",
]

SHUTDOWN_SECONDS = 0.3  # what slow answers get at the end; a stop must take less than 2 s

READY_MADE: Mapping[str, Behaviour] = {
    "good": Behaviour(),
    "slow": Behaviour(delay_ms=400),
    "failing": Behaviour(fail_rate=0.25, failure="500"),
    "refusing": Behaviour(refuse_rate=0.25, refuse_reason="duplicate"),
}


class CrmServer:
    """A running server, as seen from its own process: no HTTP needed to steer or to look."""

    def __init__(self, crms: Crms, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.base_url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self._crms = crms

    @property
    def names(self) -> list[str]:
        """The names of the CRMs, in the order they were made."""
        return [sink.name for sink in self._crms]

    def leads_url(self, name: str) -> str:
        """Return where leads for this CRM are delivered; raises UnknownCrm."""
        return f"{self.base_url}/crm/{self._crms.find(name).name}/leads"

    def set_behaviour(self, name: str, behaviour: Behaviour) -> str:
        """Create a CRM or change how it behaves; return where its leads are delivered.

        Raises ValueError for a name or a behaviour out of range.
        """
        self._crms.set_behaviour(name, behaviour)
        return self.leads_url(name)

    def counts(self, name: str) -> Counts:
        """Return what a CRM has counted so far; raises UnknownCrm."""
        return self._crms.find(name).counts

    def leads(self, name: str) -> list[SeenLead]:
        """Return the deliveries a CRM remembers, in order of arrival; raises UnknownCrm."""
        return self._crms.find(name).leads()

    def forget(self, name: str) -> int:
        """Clear a CRM's record and counts, return how many it held; raises UnknownCrm."""
        return self._crms.find(name).forget()


@asynccontextmanager
async def crm_server(
    *,
    seed: int,
    host: str = "127.0.0.1",
    port: int = 0,
    behaviours: Mapping[str, Behaviour] = READY_MADE,
    bidders: Mapping[str, Bidder] | None = None,
) -> AsyncIterator[CrmServer]:
    """Serve CRMs while the context lasts, and bidders beside them, under /bidder/{name}.

    Port 0 takes a free one. Raises OSError if the address cannot be had.
    """
    crms = Crms(seed)
    for name, behaviour in behaviours.items():
        crms.set_behaviour(name, behaviour)
    # A caller that hangs up ends its handler, so patience is not spent on the gone.
    app = build_app(crms)
    for name, bidder in (bidders or {}).items():
        bidder.add_routes(app, f"/bidder/{name}")
    runner = web.AppRunner(
        app,
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=SHUTDOWN_SECONDS,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield CrmServer(crms, host, int(runner.addresses[0][1]))
    finally:
        await runner.cleanup()
