"""Deliveries over real sockets: what is sent, and what each ending comes to (rules: §8)."""

import asyncio
import datetime
import json
import random
import socket
import ssl
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest
import uvloop
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bidders.crm import Behaviour, CrmServer, Failure, crm_server
from exchange import __version__
from exchange.buyers.courier import Couriers, HttpCourier, encode_parcel
from exchange.core.model import DeliveryTarget
from exchange.core.reasons import Reason
from exchange.flow.ports import Answer, Courier
from tests.buyers.systems import (
    Handler,
    a_parcel,
    answer,
    answering,
    closed_port,
    read_request,
    reset,
    system,
    to,
)

PATIENCE_S = 5.0
SHORT_S = 0.15


@pytest.fixture
async def courier() -> AsyncIterator[HttpCourier]:
    async with HttpCourier(allow_private_addresses=True, max_answer_bytes=4_096) as courier:
        yield courier


@pytest.fixture
async def crm() -> AsyncIterator[CrmServer]:
    async with crm_server(seed=7) as server:
        yield server


async def deliver(courier: Courier, url: str | None, timeout_s: float = PATIENCE_S) -> Answer:
    told = await courier.hand_over(to(url), a_parcel(), timeout_s)
    for secret in ("Ann", "Müller", "415555", "mail.example", "Elm", "127.0.0.1"):
        assert secret not in (told.detail or "")
    return told


def verdict(told: Answer) -> tuple[str, Reason | None]:
    return told.result, told.reason


# --- what is sent ---------------------------------------------------------------------------------


async def test_a_company_is_sent_the_lead_as_designed_with_the_delivery_id_as_key(
    courier: HttpCourier,
) -> None:
    seen: list[tuple[dict[str, str], bytes]] = []

    async def note(reader: StreamReader, writer: StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(answer())

    async with system(note) as url:
        assert (await deliver(courier, url + "?k=v%20w")).result == "accepted"
    headers, body = seen[0]
    assert headers[""] == "POST /leads?k=v%20w HTTP/1.1"
    assert headers["content-type"] == "application/json"
    assert headers["idempotency-key"] == "d-1"
    assert headers["user-agent"] == f"exchange/{__version__}"
    assert not {"cookie", "authorization", "transfer-encoding"} & headers.keys()
    assert body.decode() == (
        '{"delivery_id":"d-1","lead_id":"l-1","campaign_id":"c-1","vertical":"solar","price":45.75,'
        '"attributes":{"zip":"94107","state":"CA","credit_score":710},'
        '"contact":{"first_name":"Ann","last_name":"Müller","phone":"+14155550100",'
        '"email":"ann.mueller@mail.example","address":{"street":"1428 Elm Street",'
        '"city":"Springwood","state":"CA"}},"test":false}'
    )


@pytest.mark.parametrize(
    ("cents", "price"), [(0, "0.00"), (5, "0.05"), (3_000, "30.00"), (1_000_000_001, "10000000.01")]
)
def test_a_price_is_a_number_with_two_decimals(cents: int, price: str) -> None:
    assert f'"price":{price},'.encode() in encode_parcel(a_parcel(price_cents=cents))


def test_contact_fields_that_are_not_there_are_not_sent() -> None:
    bare = msgspec.structs.replace(a_parcel().contact, phone=None, email=None, address=None)
    body = json.loads(encode_parcel(msgspec.structs.replace(a_parcel(), contact=bare)))
    assert body["contact"] == {"first_name": "Ann", "last_name": "Müller"}


# --- what CRMs answer -----------------------------------------------------------------------------


async def test_a_crm_that_takes_a_lead_holds_it_under_its_reference(
    courier: HttpCourier, crm: CrmServer
) -> None:
    told = await deliver(courier, crm.leads_url("good"))
    assert told.result == "accepted"
    assert told.reference
    assert crm.leads("good")[0].decode_payload()["price"] == 45.75


async def test_a_crm_may_refuse_with_a_reason(courier: HttpCourier, crm: CrmServer) -> None:
    url = crm.set_behaviour("no", Behaviour(refuse_rate=1.0, refuse_reason="capacity_reached"))
    assert await deliver(courier, url) == Answer(result="refused", reason=Reason.CAPACITY_REACHED)


@pytest.mark.parametrize(
    ("failure", "result", "reason"),
    [
        ("500", "failed", Reason.CONNECTIVITY),
        ("401", "failed", Reason.AUTH_FAILURE),
        ("422", "failed", Reason.DATA_FORMAT),
        ("429", "failed", Reason.RATE_LIMITED),
        ("garbage", "failed", Reason.DATA_FORMAT),
        ("reset", "unclear", Reason.CRM_TIMEOUT),
        ("hang", "unclear", Reason.CRM_TIMEOUT),
    ],
)
async def test_a_failing_crm_is_classified(
    courier: HttpCourier, crm: CrmServer, failure: Failure, result: str, reason: Reason
) -> None:
    url = crm.set_behaviour("bad", Behaviour(fail_rate=1.0, failure=failure))
    told = await deliver(courier, url, SHORT_S if failure == "hang" else PATIENCE_S)
    assert verdict(told) == (result, reason)
    assert crm.counts("bad").failed == 1  # and it was tried once


async def test_a_slow_crm_within_its_time_takes_the_lead(
    courier: HttpCourier, crm: CrmServer
) -> None:
    assert (await deliver(courier, crm.leads_url("slow"))).result == "accepted"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_fails_and_is_not_followed(courier: HttpCourier, status: int) -> None:
    reached: list[bytes] = []

    async def elsewhere(reader: StreamReader, writer: StreamWriter) -> None:
        reached.append((await read_request(reader))[1])
        writer.write(answer())

    async with system(elsewhere) as other:
        moved = answering(answer(status=status, extra=f"Location: {other}\r\n"))
        async with system(moved) as url:
            told = await deliver(courier, url)
    assert told == Answer(result="failed", reason=Reason.CONNECTIVITY, detail=f"HTTP {status}")
    assert not reached


async def test_cookies_are_not_kept(courier: HttpCourier) -> None:
    seen: list[dict[str, str]] = []

    async def bake(reader: StreamReader, writer: StreamWriter) -> None:
        for _ in range(2):
            seen.append((await read_request(reader))[0])
            writer.write(answer(extra="Set-Cookie: a=b\r\n"))

    async with system(bake) as url:
        await deliver(courier, url)
        await deliver(courier, url)
    assert len(seen) == 2
    assert "cookie" not in seen[1]


# --- nothing went out: failed ---------------------------------------------------------------------


async def test_a_closed_port_is_a_clear_failure(courier: HttpCourier) -> None:
    told = await deliver(courier, f"http://127.0.0.1:{closed_port()}/")
    assert told == Answer(result="failed", reason=Reason.CONNECTIVITY, detail="connection refused")


class Names(AbstractResolver):
    """A name lookup that gives what it is told, one answer after the other, or hangs."""

    def __init__(self, *answers: str, port: int = 0, hang: bool = False) -> None:
        self.answers = list(answers)
        self.port = port
        self.hang = hang

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if self.hang:
            await asyncio.sleep(60)
        if not self.answers:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        address = self.answers.pop(0)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=self.port or port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=0,
            )
        ]

    async def close(self) -> None:
        pass


async def test_a_name_that_does_not_resolve_is_a_clear_failure() -> None:
    async with HttpCourier(resolver=Names()) as courier:
        told = await deliver(courier, "http://crm.example/")
    assert told == Answer(result="failed", reason=Reason.CONNECTIVITY, detail="name not resolved")


async def test_time_that_passes_before_a_connection_is_a_clear_failure() -> None:
    async with HttpCourier(resolver=Names(hang=True)) as courier:
        told = await deliver(courier, "http://crm.example/", SHORT_S)
    assert told == Answer(
        result="failed", reason=Reason.CONNECTIVITY, detail="no connection in time"
    )


async def test_a_listener_that_never_accepts_is_a_clear_failure(courier: HttpCourier) -> None:
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        loop = asyncio.get_running_loop()
        for _ in range(3):  # fill what the kernel queues, so that the next one waits
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            stack.callback(asyncio.create_task(loop.sock_connect(filler, address)).cancel)
        await asyncio.sleep(0.05)
        told = await deliver(courier, f"http://127.0.0.1:{address[1]}/", SHORT_S)
    assert verdict(told) == ("failed", Reason.CONNECTIVITY)


async def test_waiting_for_a_free_connection_sends_nothing() -> None:
    async def hold(reader: StreamReader, writer: StreamWriter) -> None:
        await read_request(reader)
        await asyncio.sleep(60)

    async with (
        HttpCourier(allow_private_addresses=True, max_connections_per_host=1) as courier,
        system(hold) as url,
    ):
        first = asyncio.create_task(deliver(courier, url, 0.4))
        await asyncio.sleep(0.1)
        second = await deliver(courier, url, SHORT_S)
        assert second.detail == "no connection in time"
        assert verdict(second) == ("failed", Reason.CONNECTIVITY)
        assert (await first).result == "unclear"


@pytest.mark.parametrize("timeout_s", [0.0, -1.0])
async def test_no_time_at_all_sends_nothing(
    courier: HttpCourier, crm: CrmServer, timeout_s: float
) -> None:
    assert (await deliver(courier, crm.leads_url("good"), timeout_s)).result == "failed"


@pytest.fixture(scope="module")
def own_certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "crm.example")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem: Path = tmp_path_factory.mktemp("tls") / "crm.pem"
    encoding = serialization.Encoding.PEM
    pem.write_bytes(
        key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(encoding)
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    return context


async def test_a_certificate_nobody_vouches_for_gets_no_lead(
    courier: HttpCourier, own_certificate: ssl.SSLContext
) -> None:
    got: list[bytes] = []

    async def note(reader: StreamReader, writer: StreamWriter) -> None:
        got.append(await reader.read(1))

    async with system(note, tls=own_certificate) as url:
        told = await deliver(courier, url)
    assert told.detail == "TLS certificate not accepted"
    assert verdict(told) == ("failed", Reason.CONNECTIVITY)
    assert got in ([], [b""])


async def test_a_server_that_speaks_no_tls_gets_no_lead(courier: HttpCourier) -> None:
    async def plain(reader: StreamReader, writer: StreamWriter) -> None:
        assert b"Ann" not in await reader.read(4_096)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async def hang_up(reader: StreamReader, writer: StreamWriter) -> None:
        reset(writer)

    for handler in (plain, hang_up):
        async with system(handler) as url:
            told = await deliver(courier, url.replace("http:", "https:"))
        assert verdict(told) == ("failed", Reason.CONNECTIVITY)


@pytest.mark.parametrize(
    "url", [None, "", "ftp://crm.example/", "http://u:p@127.0.0.1/", f"http://{'a' * 300}.example/"]
)
async def test_a_target_no_request_can_go_to_is_a_clear_failure(
    courier: HttpCourier, url: str | None
) -> None:
    assert verdict(await deliver(courier, url)) == ("failed", Reason.CONNECTIVITY)


# --- it may have arrived: unclear -----------------------------------------------------------------


async def hang(reader: StreamReader, writer: StreamWriter) -> None:
    await read_request(reader)
    await asyncio.sleep(60)


async def never_read(reader: StreamReader, writer: StreamWriter) -> None:
    await asyncio.sleep(60)


async def reset_after_reading(reader: StreamReader, writer: StreamWriter) -> None:
    await read_request(reader)
    reset(writer)


async def reset_in_the_request(reader: StreamReader, writer: StreamWriter) -> None:
    await reader.read(10)
    reset(writer)


async def hang_up_after_reading(reader: StreamReader, writer: StreamWriter) -> None:
    await read_request(reader)


async def half_a_status_line(reader: StreamReader, writer: StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 20")


async def half_a_body(reader: StreamReader, writer: StreamWriter) -> None:
    await read_request(reader)
    writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n{"status":')


async def half_a_body_then_reset(reader: StreamReader, writer: StreamWriter) -> None:
    await half_a_body(reader, writer)
    await asyncio.sleep(0.05)
    reset(writer)


async def half_a_chunk(reader: StreamReader, writer: StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n{")


async def drip(reader: StreamReader, writer: StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def drip_headers(reader: StreamReader, writer: StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X: y\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)


async def always_continue(reader: StreamReader, writer: StreamWriter) -> None:
    await read_request(reader)
    while True:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    "handler",
    [
        hang,
        never_read,
        reset_after_reading,
        reset_in_the_request,
        hang_up_after_reading,
        half_a_status_line,
        half_a_body,
        half_a_body_then_reset,
        half_a_chunk,
        drip,
        drip_headers,
        always_continue,
    ],
    ids=lambda handler: handler.__name__,
)
async def test_a_request_that_may_have_arrived_and_got_no_whole_answer_is_unclear(
    courier: HttpCourier, handler: Handler
) -> None:
    async with system(handler) as url:
        began = time.monotonic()
        told = await deliver(courier, url, 0.3)
    assert verdict(told) == ("unclear", Reason.CRM_TIMEOUT)
    assert time.monotonic() - began < 1.5


async def test_the_deadline_is_kept_to_the_moment(courier: HttpCourier) -> None:
    async with system(hang) as url:
        began = time.monotonic()
        await deliver(courier, url, 0.2)
    assert 0.2 <= time.monotonic() - began < 0.4


async def test_a_failing_status_is_clear_even_if_its_body_never_ends(courier: HttpCourier) -> None:
    endless = answering(b"HTTP/1.1 503 X\r\nContent-Length: 400\r\n\r\nAnn")
    async with system(endless) as url:
        told = await deliver(courier, url)
    assert told.detail == "HTTP 503"


async def test_an_answer_given_before_the_lead_was_read_counts(courier: HttpCourier) -> None:
    async def rash(reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(answer(b'{"status":"accepted","reference":"early"}'))
        await read_request(reader)

    async with system(rash) as url:
        assert (await deliver(courier, url)).reference == "early"


async def test_cancelling_a_delivery_cancels_it(courier: HttpCourier) -> None:
    async with system(hang) as url:
        task = asyncio.create_task(deliver(courier, url))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


# --- an answer that cannot be read: failed --------------------------------------------------------


@pytest.mark.parametrize(
    "wire",
    [
        b"no http at all\r\n\r\n",
        b"\x00\x01\x02" * 100 + b"\r\n\r\n",
        b"HTTP/1.1 999999 X\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5_000 + b"\r\n",
        answer(b"<html>Ann</html>"),
        answer(b"\x1f\x8b\x08garbage", extra="Content-Encoding: gzip\r\n"),
        answer(b"{}", extra="Content-Encoding: unheard-of\r\n"),
        b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
    ],
    ids=lambda wire: str(wire[:32]),
)
async def test_an_answer_nobody_can_read_is_a_format_failure(
    courier: HttpCourier, wire: bytes
) -> None:
    async with system(answering(wire)) as url:
        assert verdict(await deliver(courier, url)) == ("failed", Reason.DATA_FORMAT)


async def endless(reader: StreamReader, writer: StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b" " * 65_536)
        await writer.drain()


@pytest.mark.parametrize(
    "handler",
    [answering(answer(b" " * 4_097)), answering(answer(b" " * 10_000_000)), endless],
    ids=["one byte too many", "announced", "endless"],
)
async def test_an_answer_too_large_is_a_format_failure(
    courier: HttpCourier, handler: Handler
) -> None:
    async with system(handler) as url:
        told = await deliver(courier, url)
    assert told == Answer(
        result="failed", reason=Reason.DATA_FORMAT, detail="the answer is over 4096 bytes"
    )


async def test_an_answer_just_within_the_bound_is_read(courier: HttpCourier) -> None:
    body = b'{"status":"accepted"}'.ljust(4_096)
    async with system(answering(answer(body))) as url:
        assert (await deliver(courier, url)).result == "accepted"


async def test_no_bytes_a_company_sends_raise(courier: HttpCourier) -> None:
    draw = random.Random(7)
    whole = answer(b'{"status":"accepted","reference":"x"}', extra="Connection: close\r\n")

    def mangled() -> bytes:
        wire = bytearray(whole)
        for _ in range(draw.randint(1, 6)):
            wire[draw.randrange(len(wire))] = draw.randrange(256)
        return bytes(wire[: draw.randint(0, len(wire))] if draw.random() < 0.3 else wire)

    async def mangle(reader: StreamReader, writer: StreamWriter) -> None:
        await read_request(reader)
        writer.write(mangled())

    async with system(mangle) as url:
        for _ in range(400):
            told = await deliver(courier, url, 1.0)
            assert told.result in {"accepted", "refused", "failed", "unclear"}


# --- keep-alive -----------------------------------------------------------------------------------


async def test_a_connection_is_used_again(courier: HttpCourier) -> None:
    connections: list[int] = []

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        connections.append(0)
        while True:
            await read_request(reader)
            connections[-1] += 1
            writer.write(answer())

    async with system(serve) as url:
        for _ in range(5):
            assert (await deliver(courier, url)).result == "accepted"
    assert connections == [5]


async def test_a_connection_closed_while_idle_does_not_lose_the_next_delivery(
    courier: HttpCourier,
) -> None:
    async with system(answering(answer())) as url:  # closes without saying so
        for _ in range(20):
            assert (await deliver(courier, url)).result == "accepted"
            await asyncio.sleep(0.01)


async def test_a_connection_closed_on_the_second_request_is_unclear_and_not_tried_again(
    courier: HttpCourier,
) -> None:
    requests: list[bytes] = []

    async def close_on_second(reader: StreamReader, writer: StreamWriter) -> None:
        requests.append((await read_request(reader))[1])
        writer.write(answer())
        requests.append((await read_request(reader))[1])

    async with system(close_on_second) as url:
        assert (await deliver(courier, url)).result == "accepted"
        assert verdict(await deliver(courier, url)) == ("unclear", Reason.CRM_TIMEOUT)
    assert len(requests) == 2


async def test_no_more_connections_are_opened_to_a_host_than_allowed() -> None:
    now, most = 0, 0

    async def count(reader: StreamReader, writer: StreamWriter) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await read_request(reader)
        await asyncio.sleep(0.01)
        now -= 1
        writer.write(answer(extra="Connection: close\r\n"))

    async with (
        HttpCourier(allow_private_addresses=True, max_connections_per_host=3) as courier,
        system(count) as url,
    ):
        told = await asyncio.gather(*(deliver(courier, url) for _ in range(20)))
    assert {one.result for one in told} == {"accepted"}
    assert most == 3


# --- where leads may go ---------------------------------------------------------------------------


async def test_a_private_address_gets_nothing_unless_allowed() -> None:
    reached = []

    async def note(reader: StreamReader, writer: StreamWriter) -> None:
        reached.append(await reader.read(1))

    async with HttpCourier() as courier, system(note) as url:
        told = await deliver(courier, url)
        by_name = await deliver(courier, url.replace("127.0.0.1", "localhost"))
        mapped = await deliver(courier, url.replace("127.0.0.1", "[::ffff:127.0.0.1]"))
    refused = Answer(result="failed", reason=Reason.CONNECTIVITY, detail="address not allowed")
    assert [told, by_name, mapped] == [refused] * 3
    assert not reached


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00::1"])
async def test_a_name_that_resolves_to_a_private_address_at_last_gets_nothing(address: str) -> None:
    async with HttpCourier(resolver=Names(address)) as courier:
        told = await deliver(courier, "http://rebound.example/")
    assert told == Answer(result="failed", reason=Reason.CONNECTIVITY, detail="address not allowed")


async def test_an_allowed_private_address_is_reached_by_name() -> None:
    async with system(answering(answer())) as url:
        port = int(url.rsplit(":", 1)[1].split("/")[0])
        names = Names("127.0.0.1", port=port)
        async with HttpCourier(allow_private_addresses=True, resolver=names) as courier:
            told = await deliver(courier, f"http://crm.example:{port}/")
    assert told.result == "accepted"


# --- all kinds, and any loop ----------------------------------------------------------------------


async def test_the_inbox_takes_every_lead_at_once() -> None:
    async with Couriers() as couriers:
        told = await couriers.hand_over(DeliveryTarget(kind="inbox"), a_parcel(), 0.0)
    assert told == Answer(result="accepted")


async def test_couriers_go_by_the_kind_of_the_target(crm: CrmServer) -> None:
    couriers = Couriers(allow_private_addresses=True)
    await couriers.start()
    await couriers.start()
    told = await deliver(couriers, crm.leads_url("good"))
    await couriers.close()
    await couriers.close()
    assert told.reference
    assert crm.counts("good").accepted == 1


async def test_a_courier_that_is_not_started_says_so() -> None:
    with pytest.raises(RuntimeError, match="not started"):
        await HttpCourier().hand_over(to("http://crm.example/"), a_parcel(), 1.0)


async def test_closing_with_a_delivery_under_way_leaves_it_unclear() -> None:
    async with system(hang) as url:
        courier = HttpCourier(allow_private_addresses=True)
        await courier.start()
        task = asyncio.create_task(deliver(courier, url))
        await asyncio.sleep(0.05)
        await courier.close()
        assert (await task).result == "unclear"


async def test_the_endings_are_the_same_under_the_loop_the_server_runs_on() -> None:
    async def scene() -> list[str]:
        async with (
            HttpCourier(allow_private_addresses=True) as courier,
            HttpCourier() as guarded,
            system(answering(answer())) as good,
            system(reset_after_reading) as broken,
            system(hang) as slow,
        ):
            nobody = f"http://127.0.0.1:{closed_port()}/"
            return [
                (await deliver(courier, good)).result,
                (await deliver(courier, broken)).result,
                (await deliver(courier, slow, SHORT_S)).result,
                (await deliver(courier, nobody)).detail or "",
                (await deliver(courier, good.replace("http:", "https:"), 0.3)).result,
                (await deliver(guarded, good)).detail or "",
            ]

    def run() -> list[str]:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(scene())

    assert await asyncio.to_thread(run) == [
        "accepted",
        "unclear",
        "unclear",
        "connection refused",
        "failed",
        "address not allowed",
    ]
