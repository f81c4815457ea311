"""A small client of the wire, with short words for what tests do all the time."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final, Self

import aiohttp
from msgspec import Struct

from tests.e2e.running import OPERATOR_KEY, Running

ATTRIBUTES: Final[dict[str, Any]] = {
    "zip": "94107",
    "state": "CA",
    "credit_score": 710,
    "owns_home": True,
    "monthly_bill": 150,
}
CALL_S: Final = 45.0
RETRY_S: Final = 30.0
RETRY_PAUSE_S: Final = 0.1

Json = dict[str, Any]


class Answer(Struct, frozen=True, kw_only=True):
    """An answer as it came in."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Json:
        """The body; money and rates are exact."""
        read: Json = json.loads(self.body, parse_float=Decimal)
        return read

    def ok(self) -> Json:
        """The body of an answer that must be a success."""
        assert self.status in (200, 201), (self.status, self.body)
        return self.json


class Account(Struct, frozen=True, kw_only=True):
    """A seller or a company, with its key."""

    id: str
    key: str


class Wire:
    """Calls to one exchange; ``one_line`` keeps to one connection, and so to one worker."""

    def __init__(self, running: Running, *, one_line: bool = False) -> None:
        self.running = running
        self._one_line = one_line
        self._sockets: list[socket.socket] = []
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            limit=1 if self._one_line else 0, socket_factory=self._open_socket
        )
        timeout = aiohttp.ClientTimeout(total=CALL_S)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    def _open_socket(self, address: Any) -> socket.socket:
        opened = socket.socket(address[0], address[1], address[2])
        self._sockets.append(opened)
        return opened

    def worker_pid(self) -> int | None:
        """The worker at the other end of this line's one connection, once it was used."""
        assert self._one_line and len(self._sockets) == 1, "the line was opened anew"
        return self.running.worker_serving(self._sockets[0].getsockname()[1])

    async def call(
        self,
        method: str,
        path: str,
        key: str | None = OPERATOR_KEY,
        body: Json | bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """One call, as it is answered."""
        assert self._session is not None
        sent = dict(headers or {})
        if key is not None:
            sent["Authorization"] = f"Bearer {key}"
        data = json.dumps(body, default=float).encode() if isinstance(body, dict) else body
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        async with self._session.request(
            method, self.running.base_url + path, data=data, headers=sent
        ) as answer:
            read = await answer.read()
            return Answer(status=answer.status, headers=dict(answer.headers), body=read)

    async def get(self, path: str, key: str | None = OPERATOR_KEY) -> Json:
        """A GET that must succeed."""
        return (await self.call("GET", path, key)).ok()

    # --- the market ------------------------------------------------------------------------------

    async def seller(self, name: str = "Lead Source") -> Account:
        """A new seller."""
        made = (await self.call("POST", "/v1/sellers", body={"name": name})).ok()
        return Account(id=made["id"], key=made["api_key"])

    async def company(self, name: str = "Sunny Roofs", *, deposit: str | None = None) -> Account:
        """A new company; with a deposit, one that buys only from it."""
        body: Json = {"name": name, "prepaid": deposit is not None}
        made = (await self.call("POST", "/v1/companies", body=body)).ok()
        company = Account(id=made["id"], key=made["api_key"])
        if deposit is not None:
            body = {"amount": deposit, "key": "first"}
            (await self.call("POST", f"/v1/companies/{company.id}/deposits", body=body)).ok()
        return company

    async def campaign(
        self, company: Account, price: str, *, url: str | None = None, **more: Any
    ) -> str:
        """A campaign for exclusive solar leads, delivered to a URL or into the inbox."""
        target: Json = {"kind": "inbox"} if url is None else {"kind": "http", "url": url}
        body: Json = {
            "name": "solar",
            "vertical": "solar",
            "bid": {"exclusive": price},
            "delivery": [target],
            **more,
        }
        made = (await self.call("POST", "/v1/campaigns", company.key, body)).ok()
        return str(made["campaign_id"])

    async def ping(self, seller: Account, **more: Any) -> Answer:
        """A ping for a solar lead."""
        body: Json = {"vertical": "solar", "attributes": ATTRIBUTES, **more}
        return await self.call("POST", "/v1/ping", seller.key, body)

    async def offer(self, seller: Account, **more: Any) -> Json:
        """A ping that must get an offer."""
        offer = (await self.ping(seller, **more)).ok()
        assert offer["status"] == "offer", offer
        return offer

    async def offers(self, seller: Account, count: int) -> list[str]:
        """So many offers; gives their pings."""
        return [(await self.offer(seller))["ping_id"] for _ in range(count)]

    async def post(self, seller: Account, ping_id: str, contact: Json | None = None) -> Answer:
        """A post of a pinged lead."""
        body: Json = {"ping_id": ping_id, "contact": contact or person(1)}
        return await self.call("POST", "/v1/post", seller.key, body)

    async def sell(self, seller: Account, contact: Json | None = None, **more: Any) -> Json:
        """Ping and post one lead, which must be sold."""
        offer = await self.offer(seller, **more)
        result = (await self.post(seller, offer["ping_id"], contact)).ok()
        assert result["status"] == "sold", result
        return result

    async def post_until_answered(
        self, seller: Account, ping_id: str, contact: Json | None = None
    ) -> tuple[Json, list[str]]:
        """Post as a careful seller does: again, while the exchange is away or says so.

        Gives the outcome, and what came instead before it.
        """
        deadline = time.monotonic() + RETRY_S
        setbacks: list[str] = []
        while True:
            try:
                answer = await self.post(seller, ping_id, contact)
            except (aiohttp.ClientError, OSError) as error:
                setbacks.append(type(error).__name__)
            else:
                if answer.status == 200:
                    return answer.json, setbacks
                assert answer.status == 503, (answer.status, answer.body)
                assert int(answer.headers["Retry-After"]) >= 1
                setbacks.append("503")
            assert time.monotonic() < deadline, setbacks
            await asyncio.sleep(RETRY_PAUSE_S)

    async def reject(
        self, company: Account, lead_id: str, reason: str = "invalid_contact", **more: Any
    ) -> Answer:
        """A company returns a lead."""
        path = f"/v1/leads/{lead_id}/rejections"
        return await self.call("POST", path, company.key, {"reason": reason, **more})

    async def standing(self, company: Account) -> Json:
        """A company's standing."""
        return await self.get(f"/v1/companies/{company.id}/standing", company.key)

    async def leads(self, company: Account) -> list[Json]:
        """Every lead a company took."""
        found: list[Json] = []
        page: Json = {"next": ""}
        while page["next"] is not None:
            page = await self.get(f"/v1/leads?limit=200&after={page['next']}", company.key)
            found += page["items"]
        return found

    async def price(self, seller: Account, **more: Any) -> Decimal:
        """What a seller is offered now."""
        return Decimal((await self.offer(seller, **more))["price"])


@asynccontextmanager
async def line_to_each_worker(running: Running) -> AsyncIterator[dict[int, Wire]]:
    """One connection to every worker that lives, by the worker's number."""
    async with AsyncExitStack() as stack:
        lines: dict[int, Wire] = {}
        for _ in range(100):
            wire = await stack.enter_async_context(Wire(running, one_line=True))
            (await wire.call("GET", "/healthz", None)).ok()
            pid = wire.worker_pid()
            assert pid is not None
            lines.setdefault(pid, wire)
            if set(lines) == set(running.worker_pids()):
                break
        assert set(lines) == set(running.worker_pids()), "a worker gets no connections"
        yield lines


def person(number: int) -> Json:
    """A consumer, each number another one; below 80,000 their phones differ too."""
    return {
        "first_name": "Ada",
        "last_name": f"Lovelace{number}",
        "phone": f"+1{212 + number // 10_000 % 8}736{number % 10_000:04d}",
        "email": f"ada{number}@example.com",
    }


def hashes_of(contact: Json) -> dict[str, str]:
    """What a ping tells of a contact."""
    return {name: hashlib.sha256(contact[name].encode()).hexdigest() for name in ("phone", "email")}


def rectified(base: str, rejected: Decimal, assigned: Decimal) -> Decimal:
    """The price a company pays at this rate: half to even, to the cent (rules §6)."""
    price = Decimal(base)
    return _cents(price * (assigned - rejected) / assigned) if assigned else price


def paid_to_seller(charged: Decimal) -> Decimal:
    """What is left for the seller after the 15 % margin."""
    return charged - _cents(charged * 15 / 100)


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"), ROUND_HALF_EVEN)
