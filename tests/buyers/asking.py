"""Asking for the tests: questions, campaigns, and companies' bidders that behave in some way."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable, Sequence

from msgspec import Raw

from exchange.buyers.bid_limits import BidLimits
from exchange.buyers.fan_out import AllBidders
from exchange.buyers.signing import signing_secret
from exchange.core.model import CampaignId, CompanyId, PingId
from exchange.core.reasons import Reason
from exchange.core.remote import Remote
from exchange.flow.bidding import Asked, Bidders, Question, Said
from tests.buyers.systems import Handler, answer, read_request

KEY = b"k" * 32
NOW = 1_800_000_000
SHORT_S = 0.15
PATIENCE_S = 5.0
GRACE_S = 0.1  # what a deadline may be passed by on a busy machine

BID = b'{"price":42.50,"currency":"USD","token":"t-1"}'


def secret_of(company_id: CompanyId) -> str:
    return signing_secret(KEY, company_id)


def bidders(
    limits: BidLimits | None = None,
    draw: float = 0.5,
    remote_of: Callable[[CampaignId], Remote | None] | None = None,
) -> AllBidders:
    return AllBidders(
        secret_of=secret_of,
        remote_of=remote_of,
        limits=limits,
        allow_private_addresses=True,
        draw=lambda: draw,
        clock=lambda: NOW,
    )


def a_question(ping_id: str = "p-1", *, test: bool = False) -> Question:
    return Question(
        ping_id=PingId(ping_id),
        vertical="solar",
        attributes=Raw(b'{"zip":"94107","state":"CA"}'),
        max_buyers=1,
        test=test,
    )


def asking(
    url: str | None,
    campaign_id: str = "c-1",
    share: int = 1,
    company_id: str = "co-1",
    **remote: object,
) -> Asked:
    """A campaign to be asked at a URL; its time is long unless given."""
    given = {"timeout_ms": 60_000, **remote}
    return Asked(
        campaign_id=CampaignId(campaign_id),
        company_id=CompanyId(company_id),
        remote=Remote(url=url, **given),  # type: ignore[arg-type]  # the fields' own types
        share=share,
    )


async def ask(
    among: Bidders,
    *asked: Asked,
    within_s: float = PATIENCE_S,
    question: Question | None = None,
) -> Sequence[Said]:
    """Ask, by a deadline from now; no word comes later than that, with some grace."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    deadline = began + within_s
    said = await among.ask(question or a_question(), asked, deadline)
    assert loop.time() < max(deadline, began) + GRACE_S
    assert [(one.campaign_id, one.share) for one in said] == [
        (one.campaign_id, one.share) for one in asked
    ]
    return said


async def ask_one(among: Bidders, asked: Asked, within_s: float = PATIENCE_S) -> Said:
    (said,) = await ask(among, asked, within_s=within_s)
    return said


def outcome(said: Said) -> int | Reason | None:
    """The cents of a bid, or why there is none."""
    return said.cents if said.reason is None else said.reason


async def until(reached: Callable[[], bool]) -> None:
    """Wait until something is so; what it is about tells nobody when it changes."""
    async with asyncio.timeout(PATIENCE_S):
        while not reached():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def until_connections(among: AllBidders, count: int) -> None:
    """Wait until this many connections are left."""
    await until(lambda: among.figures().connections == count)


class Bidder:
    """A bidder that gives the same wire to every request, and keeps its connections.

    ``requests`` has each request's head and body, ``connections`` counts those made.
    """

    def __init__(self, wire: bytes | None = None) -> None:
        self.wire = answer(BID) if wire is None else wire
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.connections = 0

    async def __call__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.connections += 1
        while True:
            self.requests.append(await read_request(reader))
            writer.write(self.wire)
            await writer.drain()


def after(pause_s: float, wire: bytes) -> Handler:
    """Answer every request after a pause."""

    async def handler(reader: StreamReader, writer: StreamWriter) -> None:
        while True:
            await read_request(reader)
            await asyncio.sleep(pause_s)
            writer.write(wire)
            await writer.drain()

    return handler


async def hang(reader: StreamReader, writer: StreamWriter) -> None:
    await asyncio.Event().wait()


async def drip(reader: StreamReader, writer: StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.01)
