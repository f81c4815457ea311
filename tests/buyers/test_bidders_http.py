"""Companies' bidders over HTTP, on real sockets: what they are sent, and what each ending comes to.

Rules: §7; design, Wire and Remote bidders.
"""

import asyncio
import datetime
import gc
import hashlib
import hmac
import ipaddress
import json
import ssl
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from exchange import __version__
from exchange.buyers.bid_limits import BidLimits
from exchange.buyers.bid_round import Call
from exchange.buyers.fan_out import AllBidders
from exchange.core.model import CompanyId
from exchange.core.reasons import Reason
from tests.buyers.asking import (
    BID,
    NOW,
    SHORT_S,
    Bidder,
    a_question,
    after,
    ask,
    ask_one,
    asking,
    bidders,
    drip,
    hang,
    outcome,
    secret_of,
    until_connections,
)
from tests.buyers.systems import (
    Handler,
    answer,
    answering,
    closed_port,
    read_request,
    reset,
    system,
)


@pytest.fixture
async def among() -> AsyncIterator[AllBidders]:
    async with bidders() as among:
        yield among


# --- what is sent ---------------------------------------------------------------------------------


async def test_a_bidder_is_sent_the_ping_as_designed(among: AllBidders) -> None:
    bidder = Bidder()
    async with system(bidder) as url:
        asked = asking(url + "?k=v%20w", timeout_ms=310)
        await ask(among, asked)
        (said,) = await ask(among, asked)
    assert (said.cents, said.token, said.reason) == (4_250, "t-1", None)
    assert 0 < said.took_us < 5_000_000
    headers, body = bidder.requests[1]
    assert headers[""] == "POST /leads?k=v%20w HTTP/1.1"
    assert headers["host"] == url.split("/")[2]
    assert headers["content-type"] == headers["accept"] == "application/json"
    assert headers["accept-encoding"] == "identity"
    assert headers["user-agent"] == f"exchange/{__version__}"
    assert not {"cookie", "authorization", "transfer-encoding"} & headers.keys()
    assert body.decode() == (
        '{"ping_id":"p-1","campaign_id":"c-1","vertical":"solar",'
        '"attributes":{"zip":"94107","state":"CA"},'
        '"mode":"exclusive","shares":1,"timeout_ms":310,"test":false}'
    )


async def test_every_campaign_and_share_count_is_asked_by_itself(among: AllBidders) -> None:
    bidder = Bidder()
    async with system(bidder) as url:
        question = a_question('p-"2"', test=True)
        asked = [asking(url, "c-1"), asking(url, "c-1", 3), asking(url, "c-ü", 2)]
        await ask(among, *asked, question=question)
    bodies = [json.loads(body) for _, body in bidder.requests]
    assert sorted((b["campaign_id"], b["shares"], b["mode"]) for b in bodies) == [
        ("c-1", 1, "exclusive"),
        ("c-1", 3, "shared"),
        ("c-ü", 2, "shared"),
    ]
    assert all(b["ping_id"] == 'p-"2"' and b["test"] is True for b in bodies)


async def test_a_bidder_can_trust_a_request_by_its_signature(among: AllBidders) -> None:
    bidder = Bidder()
    async with system(bidder) as url:
        await ask(among, asking(url, company_id="co-7"))
        await ask(among, asking(url, company_id="co-7"), question=a_question("p-2"))
    for headers, body in bidder.requests:
        assert headers["x-exchange-timestamp"] == str(NOW)
        secret = secret_of(CompanyId("co-7")).encode()
        expected = hmac.new(secret, f"{NOW}.".encode() + body, hashlib.sha256).hexdigest()
        assert headers["x-exchange-signature"] == f"v1={expected}"


@pytest.mark.parametrize(
    ("own_ms", "within_s", "told_ms"), [(100, 5.0, (50, 100)), (5_000, 0.4, (340, 390))]
)
async def test_the_bidder_is_told_what_remains_less_network_and_closing_at_most_its_own(
    among: AllBidders, own_ms: int, within_s: float, told_ms: tuple[int, int]
) -> None:
    bidder = Bidder()
    async with system(bidder) as url:
        await ask(among, asking(url, timeout_ms=own_ms), within_s=within_s)
    assert told_ms[0] <= json.loads(bidder.requests[0][1])["timeout_ms"] <= told_ms[1]


async def test_a_bidder_with_too_little_time_is_not_called(among: AllBidders) -> None:
    bidder = Bidder()
    async with system(bidder) as url:
        assert outcome(await ask_one(among, asking(url), 0.029)) is Reason.BIDDER_NO_TIME
        assert outcome(await ask_one(among, asking(url), -1.0)) is Reason.BIDDER_NO_TIME
    assert not bidder.connections
    assert among.health()["c-1"].state == "well"


# --- answers --------------------------------------------------------------------------------------


def chunked(*chunks: bytes) -> bytes:
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body + b"0\r\n\r\n"


FLOOD = b'{"price":1,"x":"' + b"x" * 70_000 + b'"}'

ANSWERS: dict[str, tuple[bytes, int | Reason]] = {
    "a length": (answer(BID), 4_250),
    "chunks": (chunked(BID[:5], BID[5:]), 4_250),
    "until the end": (b"HTTP/1.1 200 OK\r\n\r\n" + BID, 4_250),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\n\r\n" + BID, 4_250),
    "closing": (answer(BID, extra="Connection: close\r\n"), 4_250),
    "after interim answers": (b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + answer(BID), 4_250),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", Reason.BIDDER_DECLINED),
    "empty": (answer(), Reason.BIDDER_DECLINED),
    "no price": (answer(b'{"price":null}'), Reason.BIDDER_DECLINED),
    "error": (answer(BID, status=500), Reason.BIDDER_ERROR),
    "redirect": (
        answer(BID, status=302, extra="Location: http://127.0.0.1:1/\r\n"),
        Reason.BIDDER_ERROR,
    ),
    "garbage": (b"\x00\x01\x02 not HTTP\r\n\r\n", Reason.BID_UNREADABLE),
    "another protocol": (
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhello",
        Reason.BID_UNREADABLE,
    ),
    "a page": (answer(b"<html></html>"), Reason.BID_UNREADABLE),
    "two lengths": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        Reason.BID_UNREADABLE,
    ),
    "huge": (answer(FLOOD), Reason.BID_TOO_LARGE),
    "huge in chunks": (chunked(FLOOD[:40_000], FLOOD[40_000:]), Reason.BID_TOO_LARGE),
    "a huge length": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 70_000,
        Reason.BID_TOO_LARGE,
    ),
    "a huge head": (
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5_000,
        Reason.BID_TOO_LARGE,
    ),
    "endless interim answers": (
        b"HTTP/1.1 100 Continue\r\n\r\n" * 2_000,
        Reason.BID_TOO_LARGE,
    ),
    "euros": (answer(b'{"price":5,"currency":"EUR"}'), Reason.BID_CURRENCY),
    "negative": (answer(b'{"price":-5}'), Reason.BID_PRICE),
    "not a number": (answer(b'{"price":"NaN"}'), Reason.BID_PRICE),
    "above its bound": (answer(b'{"price":1000.01}'), Reason.BID_PRICE),
    "another auction": (answer(b'{"price":5,"ping_id":"p-9"}'), Reason.BID_AUCTION),
    "this auction": (answer(b'{"price":5,"ping_id":"p-1"}'), 500),
    "half a body": (b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\nx", Reason.BIDDER_CONNECTION),
    "half a chunk": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nx",
        Reason.BIDDER_CONNECTION,
    ),
    "half a head": (b"HTTP/1.1 200", Reason.BIDDER_CONNECTION),
    "nothing": (b"", Reason.BIDDER_CONNECTION),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_each_answer_has_its_outcome_and_costs_only_its_own_bid(
    among: AllBidders, name: str
) -> None:
    wire, expected = ANSWERS[name]
    async with system(answering(wire)) as url, system(Bidder()) as other:
        said = await ask(among, asking(url), asking(other, "c-2"))
    assert [outcome(one) for one in said] == [expected, 4_250]


async def reset_in_the_answer(reader: StreamReader, writer: StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\nx")
    await writer.drain()
    reset(writer)


async def reset_at_once(reader: StreamReader, writer: StreamWriter) -> None:
    reset(writer)


@pytest.mark.parametrize("handler", [reset_in_the_answer, reset_at_once])
async def test_a_reset_connection_is_a_lost_bid(among: AllBidders, handler: Handler) -> None:
    async with system(handler) as url:
        assert outcome(await ask_one(among, asking(url))) is Reason.BIDDER_CONNECTION


@pytest.mark.parametrize("handler", [hang, drip, after(1.0, answer(BID))])
async def test_what_has_not_answered_by_the_deadline_is_late(
    among: AllBidders, handler: Handler
) -> None:
    async with system(handler) as url:
        assert outcome(await ask_one(among, asking(url), SHORT_S)) is Reason.BIDDER_TIMEOUT


async def test_an_answer_in_many_small_pieces_is_read(among: AllBidders) -> None:
    async def piecemeal(reader: StreamReader, writer: StreamWriter) -> None:
        await read_request(reader)
        for at in range(len(wire := chunked(BID[:9], BID[9:]))):
            writer.write(wire[at : at + 1])
            await asyncio.sleep(0)

    async with system(piecemeal) as url:
        assert outcome(await ask_one(among, asking(url))) == 4_250


async def test_a_bidder_gets_no_more_than_its_own_time_while_others_get_theirs(
    among: AllBidders,
) -> None:
    slow = after(0.2, answer(BID))
    async with system(slow) as one, system(slow) as other:
        said = await ask(among, asking(one, timeout_ms=100), asking(other, "c-2", timeout_ms=2_000))
    assert [outcome(s) for s in said] == [Reason.BIDDER_TIMEOUT, 4_250]
    assert 100_000 <= said[0].took_us < 200_000


async def test_nobody_is_waited_for_when_all_have_answered(among: AllBidders) -> None:
    loop = asyncio.get_running_loop()
    async with system(Bidder()) as url:
        began = loop.time()
        await ask(among, asking(url), asking(url, "c-2"), within_s=30.0)
        assert loop.time() - began < 5.0


def test_four_bad_bidders_of_ten_take_nothing_from_six_good_ones() -> None:
    """On both loops: the standard one, and the one the exchange runs on."""

    async def auctions() -> None:
        bad = [hang, drip, answering(b"junk"), reset_in_the_answer]
        async with AsyncExitStack() as stack:
            good = [await stack.enter_async_context(system(Bidder())) for _ in range(6)]
            urls = [await stack.enter_async_context(system(handler)) for handler in bad] + good
            among = await stack.enter_async_context(bidders())
            asked = [asking(url, f"c-{n}") for n, url in enumerate(urls)]
            for turn in range(5):
                said = await ask(among, *asked, within_s=SHORT_S, question=a_question(f"p-{turn}"))
                assert [outcome(one) for one in said[4:]] == [4_250] * 6
                assert all(one.cents is None and one.reason is not None for one in said[:4])

    for loop_factory in (asyncio.new_event_loop, uvloop.new_event_loop):
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(auctions())


# --- connections ----------------------------------------------------------------------------------


async def test_a_connection_is_used_again_after_a_clean_exchange(among: AllBidders) -> None:
    bidder = Bidder()
    async with system(bidder) as url:
        for turn in range(5):
            asked = asking(url, f"c-{turn % 2}")
            assert outcome(await ask_one(among, asked)) == 4_250
    assert bidder.connections == 1
    assert len(bidder.requests) == 5


@pytest.mark.parametrize(
    "wire",
    [
        answer(BID) + answer(b'{"price":99}'),
        answer(BID) + b"junk",
        answer(BID, extra="Connection: close\r\n"),
        b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BID) + BID,
    ],
    ids=["a second answer", "junk behind it", "told to close", "HTTP/1.0"],
)
async def test_a_connection_is_not_used_again_otherwise(among: AllBidders, wire: bytes) -> None:
    bidder = Bidder(wire)
    async with system(bidder) as url:
        for _ in range(3):
            assert outcome(await ask_one(among, asking(url))) == 4_250
        await until_connections(among, 0)
    assert bidder.connections == 3


async def test_an_answer_nobody_asked_for_ends_the_connection(among: AllBidders) -> None:
    connections = 0

    async def eager(reader: StreamReader, writer: StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await read_request(reader)
        writer.write(answer(BID))
        await asyncio.sleep(0.02)
        writer.write(answer(b'{"price":99}'))
        await read_request(reader)

    async with system(eager) as url:
        assert outcome(await ask_one(among, asking(url))) == 4_250
        await until_connections(among, 0)
        assert outcome(await ask_one(among, asking(url))) == 4_250
    assert connections == 2


async def test_a_late_answer_is_nobodys_and_leaves_its_connection_usable(
    among: AllBidders,
) -> None:
    connections = 0

    async def late_once(reader: StreamReader, writer: StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await read_request(reader)
        await asyncio.sleep(0.2)
        writer.write(answer(b'{"price":99}'))
        await read_request(reader)
        writer.write(answer(BID))

    async with system(late_once) as url:
        assert outcome(await ask_one(among, asking(url), 0.1)) is Reason.BIDDER_TIMEOUT
        await asyncio.sleep(0.2)
        assert outcome(await ask_one(among, asking(url))) == 4_250
    assert connections == 1


async def test_a_connection_that_stays_silent_is_given_up() -> None:
    async with bidders(BidLimits(late_s=0.1)) as among, system(hang) as url:
        await ask(among, asking(url), within_s=0.05)
        assert among.figures().connections == 1
        await until_connections(among, 0)


async def test_an_idle_connection_is_not_kept_for_ever() -> None:
    async with bidders(BidLimits(keep_alive_s=0.1)) as among, system(Bidder()) as url:
        await ask(among, asking(url))
        assert among.figures().connections == 1
        await until_connections(among, 0)


def hanging_up(answers: int) -> tuple[Handler, list[int]]:
    """Answer some requests of a connection, and hang up on reading the next; counts requests."""
    counts: list[int] = []

    async def handler(reader: StreamReader, writer: StreamWriter) -> None:
        counts.append(0)
        mine = len(counts) - 1
        for _ in range(answers):
            await read_request(reader)
            counts[mine] += 1
            writer.write(answer(BID))
        await read_request(reader)
        counts[mine] += 1

    return handler, counts


async def test_a_question_lost_on_a_used_connection_is_asked_once_more(among: AllBidders) -> None:
    handler, counts = hanging_up(1)
    async with system(handler) as url:
        for _ in range(3):
            assert outcome(await ask_one(among, asking(url))) == 4_250
    assert counts == [2, 2, 1]


async def test_a_question_lost_on_a_new_connection_is_not_asked_again(among: AllBidders) -> None:
    handler, counts = hanging_up(0)
    async with system(handler) as url:
        assert outcome(await ask_one(among, asking(url))) is Reason.BIDDER_CONNECTION
    assert counts == [1]


async def test_calls_that_find_no_connection_wait_for_one_and_no_more_than_may() -> None:
    limits = BidLimits(max_connections_per_bidder=2, max_waiting_per_bidder=3)
    slow = after(0.05, answer(BID))
    async with bidders(limits) as among, system(slow) as url:
        await ask(among, asking(url), asking(url, "c-2"))
        asked = [asking(url, f"c-{n}") for n in range(8)]
        said = await ask(among, *asked)
        assert among.figures().connections == 2
        assert among.figures().waiting == 0
    told = [outcome(one) for one in said]
    assert told == [4_250] * 5 + [Reason.BIDDER_BUSY] * 3
    # Waiting for a connection counts as the bidder's time.
    assert max(one.took_us for one in said) > 90_000


async def test_a_worker_has_only_so_many_connections() -> None:
    limits = BidLimits(max_connections=1)
    async with bidders(limits) as among, system(Bidder()) as one, system(Bidder()) as other:
        said = await ask(among, asking(one), asking(other, "c-2"))
        assert [outcome(s) for s in said] == [4_250, Reason.BIDDER_BUSY]


async def test_waiting_for_a_connection_in_vain_is_late() -> None:
    limits = BidLimits(max_connections_per_bidder=1)
    async with bidders(limits) as among, system(hang) as url:
        said = await ask(among, asking(url), asking(url, "c-2"), within_s=SHORT_S)
        assert [outcome(one) for one in said] == [Reason.BIDDER_TIMEOUT] * 2
        assert among.figures().waiting == 0


async def test_cancelling_an_auction_leaves_nothing_behind(among: AllBidders) -> None:
    async with system(hang) as url:
        task = asyncio.create_task(ask(among, asking(url)))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert among.figures().waiting == 0
        assert among.health()["c-1"].state == "well"
        assert not among.figures().reasons


async def test_closing_ends_connections_tasks_and_auctions() -> None:
    before = asyncio.all_tasks()
    among = bidders()
    await among.start()
    async with system(hang) as url, system(Bidder()) as good:
        await ask(among, asking(good, "c-2"))
        asked = asyncio.create_task(ask(among, asking(url), asking(good, "c-2")))
        await asyncio.sleep(0.05)
        await among.close()
        assert [outcome(one) for one in await asked] == [Reason.BIDDER_CONNECTION, 4_250]
        await among.close()
        with pytest.raises(RuntimeError):
            await ask(among, asking(url))
    await asyncio.sleep(0)
    assert asyncio.all_tasks() <= before


async def test_nothing_is_kept_of_an_auction_that_is_over(among: AllBidders) -> None:
    async with system(hang) as hanging, system(Bidder()) as good, system(drip) as dripping:
        for turn in range(5):
            asked = [asking(url, f"c-{n}") for n, url in enumerate((hanging, good, dripping))]
            await ask(among, *asked, within_s=0.05, question=a_question(f"p-{turn}"))
        gc.collect()
        assert not [kept for kept in gc.get_objects() if isinstance(kept, Call)]
        assert among.figures().waiting == 0


# --- places ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{closed}/x",
        "http://nowhere.invalid/x",
        "http://127.1/x",
        "ftp://x.example/",
        "ws://127.0.0.1:1/",
        "",
        None,
    ],
)
async def test_a_bidder_that_cannot_be_reached_costs_its_own_bid(
    among: AllBidders, url: str | None
) -> None:
    url = url and url.format(closed=closed_port())
    async with system(Bidder()) as good:
        said = await ask(among, asking(url), asking(good, "c-2"))
    assert [outcome(one) for one in said] == [Reason.BIDDER_CONNECTION, 4_250]


async def test_a_private_address_is_not_connected_to_unless_allowed() -> None:
    bidder = Bidder()

    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    async with AllBidders(secret_of=secret_of, resolve=resolve) as among, system(bidder) as url:
        port = url.split(":")[2]
        said = await ask(among, asking(url), asking(f"http://inside.example:{port}", "c-2"))
    assert [outcome(one) for one in said] == [Reason.BIDDER_CONNECTION] * 2
    assert not bidder.connections


async def test_a_name_is_looked_up_once_in_a_while_and_not_for_every_connection() -> None:
    lookups: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        lookups.append(host)
        await asyncio.sleep(0.01)
        return ["127.0.0.1"]

    bidder = Bidder(answer(BID, extra="Connection: close\r\n"))
    async with (
        AllBidders(
            secret_of=secret_of,
            resolve=resolve,
            allow_private_addresses=True,
            limits=BidLimits(dns_s=0.3),
        ) as among,
        system(bidder) as url,
    ):
        named = url.replace("127.0.0.1", "bidder.example")
        for _ in range(2):
            said = await ask(among, asking(named), asking(named, "c-2"))
            assert [outcome(one) for one in said] == [4_250] * 2
        assert len(lookups) == 1
        await asyncio.sleep(0.3)
        await ask(among, asking(named))
    assert lookups == ["bidder.example"] * 2
    assert bidder.connections == 5


async def test_where_one_address_of_a_name_is_dead_the_next_is_tried() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]

    async with (
        AllBidders(secret_of=secret_of, resolve=resolve, allow_private_addresses=True) as among,
        system(Bidder()) as url,
    ):
        named = url.replace("127.0.0.1", "bidder.example")
        assert outcome(await ask_one(among, asking(named))) == 4_250


@pytest.fixture(scope="module")
def own_certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """A certificate for 127.0.0.1 that only those trust who are told to."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bidder")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path_factory.mktemp("tls") / "bidder.pem"
    encoding = serialization.Encoding.PEM
    pem.write_bytes(
        key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(encoding)
    )
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(pem)
    return pem, server


async def test_a_bidder_behind_tls_is_asked_over_one_connection(
    own_certificate: tuple[Path, ssl.SSLContext],
) -> None:
    pem, server = own_certificate
    trusting = ssl.create_default_context(cafile=str(pem))
    bidder = Bidder()
    async with (
        AllBidders(secret_of=secret_of, allow_private_addresses=True, tls=trusting) as among,
        system(bidder, tls=server) as url,
    ):
        for _ in range(3):
            assert outcome(await ask_one(among, asking(url))) == 4_250
    assert bidder.connections == 1


async def test_a_certificate_nobody_vouches_for_gets_no_ping(
    among: AllBidders, own_certificate: tuple[Path, ssl.SSLContext]
) -> None:
    bidder = Bidder()
    async with system(bidder, tls=own_certificate[1]) as url:
        assert outcome(await ask_one(among, asking(url))) is Reason.BIDDER_CONNECTION
    assert not bidder.requests
