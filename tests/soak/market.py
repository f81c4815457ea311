"""The market of the soak: one state for each way of buying, so that none takes another's leads.

Companies' systems stand on two servers, each behind a proxy that can cut it off: killed, it resets
every connection and listens no more, while its record stays as a CRM's own database would.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final

from msgspec import Struct

from bidders.crm import Behaviour, CrmServer, crm_server
from bidders.kit import Accepted, Bid, Bidder
from bidders.kit.wire import Lead, Ping
from bidders.proxy import FaultProxy, Faults, fault_proxy
from tests.e2e.wire import ATTRIBUTES, Account, Json, Wire, hashes_of, person

SETTINGS: Final = {
    # Companies are to stay in the market, however often their systems are killed.
    "EXCHANGE_MARKET_CRM_THRESHOLD_PCT": "100",
    # Every lead a company's system sees is one that was sold: none is a test.
    "EXCHANGE_CONNECTION_TESTS_EVERY_MIN": "0",
}
PREPAID: Final = "150.00"
CAPPED_LEADS: Final = 40
REMOTE: Final = "remote"
_TRIES: Final = {"attempts": 2, "timeout_ms": 2_000}


class Host(Struct, kw_only=True):
    """A server of companies' systems, and the proxy through which they are reached."""

    crm: CrmServer
    proxy: FaultProxy

    def url(self, system: str, behaviour: Behaviour) -> str:
        """Set up a company's system; gives where its leads go."""
        return self.through(self.crm.set_behaviour(system, behaviour))

    def through(self, url: str) -> str:
        """The same URL by way of the proxy."""
        return url.replace(self.crm.base_url, f"http://127.0.0.1:{self.proxy.port}")

    async def kill(self, down_s: float) -> None:
        """Reset every connection and refuse new ones for so long."""
        await self.proxy.set_faults(Faults(mode="refuse"))
        await self.proxy.reset_all()
        await asyncio.sleep(down_s)
        await self.proxy.set_faults(Faults())


class Shop(Struct, frozen=True, kw_only=True):
    """A company, the names of its systems, and the most it may buy."""

    account: Account
    name: str
    systems: tuple[str, ...] = ()
    most_leads: int | None = None
    is_prepaid: bool = False


class Delivered(Struct, frozen=True, kw_only=True):
    """A delivery as a company's system recorded it."""

    system: str
    delivery_id: str
    lead_id: str
    price_cents: int
    accepted: bool


class Way(Struct, frozen=True, kw_only=True):
    """A way of buying: its state, and the most buyers its pings ask for."""

    state: str
    max_buyers: int = 1


WAYS: Final = (
    Way(state="CA"),  # inboxes
    Way(state="NV"),  # systems one after the other
    Way(state="AZ"),  # a system with a backup
    Way(state="TX", max_buyers=2),  # shared leads
    Way(state="CO"),  # a remote bidder
    Way(state="OR"),  # refusals, healing failures, a cap and a prepaid balance
)


class SoakMarket:
    """Sellers, companies and their systems."""

    def __init__(self, wire: Wire, hosts: tuple[Host, Host], bidder: Bidder) -> None:
        self.wire = wire
        self.hosts = hosts
        self.sellers: list[Account] = []
        self.shops: list[Shop] = []
        self._bidder = bidder
        self.remote_leads: dict[str, Lead] = {}

    async def open(self) -> None:
        """Make every account and campaign."""
        first, second = self.hosts
        self.sellers = [await self.wire.seller(f"Source {n}") for n in range(3)]
        await self._shop("CA", "inbox-one", "50.00")
        await self._shop("CA", "inbox-two", "47.00")
        slow, quick = Behaviour(delay_ms=60), Behaviour(delay_ms=5)
        await self._shop("NV", "nv-one", "60.00", [(first, "nv-one", "http", slow)])
        await self._shop("NV", "nv-two", "56.00", [(second, "nv-two", "http", quick)])
        await self._shop("NV", "nv-inbox", "30.00")
        with_backup = [(first, "az-main", "http", slow), (second, "az-spare", "webhook", quick)]
        await self._shop("AZ", "az", "55.00", with_backup)
        await self._shop("AZ", "az-inbox", "40.00")
        for host, name, price in ((first, "tx-one", "40.00"), (second, "tx-two", "38.00")):
            bid = {"exclusive": price, "shared": {"2": price}}
            await self._shop("TX", name, price, [(host, name, "http", quick)], bid=bid)
        await self._shop("TX", "tx-inbox", "35.00", bid={"shared": {"2": "35.00"}})
        await self._open_remote(second)
        await self._shop("CO", "co-inbox", "30.00")
        refusing = Behaviour(refuse_rate=0.3, delay_ms=20)
        healing = Behaviour(fail_rate=0.5, failure="500", heals_after=1)
        await self._shop("OR", "refusing", "52.00", [(first, "refusing", "http", refusing)])
        await self._shop("OR", "healing", "50.00", [(second, "healing", "http", healing)])
        caps = [{"period": "month", "leads": CAPPED_LEADS}]
        await self._shop("OR", "capped", "49.00", most_leads=CAPPED_LEADS, caps=caps)
        await self._shop("OR", "prepaid", "48.00", deposit=PREPAID)
        await self._shop("OR", "or-inbox", "20.00")

    async def _shop(
        self,
        state: str,
        name: str,
        price: str,
        systems: list[tuple[Host, str, str, Behaviour]] | None = None,
        *,
        deposit: str | None = None,
        most_leads: int | None = None,
        **more: Any,
    ) -> None:
        account = await self.wire.company(name, deposit=deposit)
        targets = [
            {"kind": kind, "url": host.url(system, behaviour), **_TRIES}
            for host, system, kind, behaviour in systems or ()
        ]
        delivery = targets or [{"kind": "inbox"}]
        only = {"field": "state", "op": "=", "value": state}
        await self.wire.campaign(account, price, filter=only, **{"delivery": delivery, **more})
        names = tuple(system for _, system, _, _ in systems or ())
        self.shops.append(
            Shop(
                account=account,
                name=name,
                systems=names,
                most_leads=most_leads,
                is_prepaid=deposit is not None,
            )
        )

    async def _open_remote(self, host: Host) -> None:
        account = await self.wire.company(REMOTE)
        path = f"/v1/companies/{account.id}/signing-secret"
        self._bidder.secret = str((await self.wire.get(path, account.key))["secret"])

        @self._bidder.price
        def price(ping: Ping) -> Bid:
            return Bid("44.00", token=f"t-{ping.ping_id}")

        @self._bidder.lead
        async def take(lead: Lead) -> Accepted:
            self.remote_leads[lead.delivery_id] = lead
            await asyncio.sleep(0.02)
            return Accepted(reference=lead.delivery_id)

        base = host.through(f"{host.crm.base_url}/bidder/{REMOTE}")
        await self.wire.campaign(
            account,
            "44.00",
            filter={"field": "state", "op": "=", "value": "CO"},
            bid={"remote": {"url": f"{base}/ping", "timeout_ms": 300}},
            delivery=[{"kind": "webhook", "url": f"{base}/leads", **_TRIES}],
        )
        self.shops.append(Shop(account=account, name=REMOTE, systems=(REMOTE,)))

    def seen_by(self, shop: Shop) -> Iterator[Delivered]:
        """What a company's systems recorded."""
        for system in shop.systems:
            if system == REMOTE:
                for lead in self.remote_leads.values():
                    yield Delivered(
                        system=system,
                        delivery_id=lead.delivery_id,
                        lead_id=lead.lead_id,
                        price_cents=lead.price_cents,
                        accepted=True,
                    )
                continue
            for seen in self._host_of(system).crm.leads(system):
                yield Delivered(
                    system=system,
                    delivery_id=seen.delivery_id,
                    lead_id=seen.lead_id,
                    price_cents=seen.price_cents,
                    accepted=seen.outcome == "accepted",
                )

    def odd_requests(self, shop: Shop) -> int:
        """Requests to a company's systems that were no lead, or another one under a known id."""
        found = 0
        for system in shop.systems:
            if system != REMOTE:
                counts = self._host_of(system).crm.counts(system)
                found += counts.conflicts + counts.unreadable
        return found

    def _host_of(self, system: str) -> Host:
        return next(host for host in self.hosts if system in host.crm.names)


@asynccontextmanager
async def soak_market(wire: Wire, seed: int) -> AsyncIterator[SoakMarket]:
    """Open the market, and serve its companies' systems meanwhile."""
    bidder = Bidder(secret="not yet known")
    # The functions are given once the company and its secret are there.
    bidder.price(lambda ping: None)
    bidder.lead(lambda lead: None)
    async with (
        crm_server(seed=seed, behaviours={}) as one,
        crm_server(seed=seed + 1, behaviours={}, bidders={REMOTE: bidder}) as two,
        fault_proxy("127.0.0.1", one.port) as to_one,
        fault_proxy("127.0.0.1", two.port) as to_two,
    ):
        hosts = Host(crm=one, proxy=to_one), Host(crm=two, proxy=to_two)
        market = SoakMarket(wire, hosts, bidder)
        await market.open()
        yield market


def ping_body(way: Way, number: int, *, hashed: bool, cascades: bool) -> Json:
    """What the ping of a numbered consumer says besides its vertical."""
    body: Json = {
        "attributes": {**ATTRIBUTES, "state": way.state},
        "max_buyers": way.max_buyers,
    }
    if hashed:
        body["contact_hashes"] = hashes_of(person(number))
    if cascades:
        body |= {"cascade": "min_price", "min_price": 1.00}
    return body
