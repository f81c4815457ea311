"""Leads by mail, through a real mail server: what is sent, and what each ending comes to (§8)."""

from __future__ import annotations

import asyncio
import ssl
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import fromstring

import msgspec
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exchange.buyers.courier import Couriers
from exchange.buyers.post_office import EmailCourier, Relay, judge_reply, relay_of, write_mail
from exchange.core.dialect import PresetUse
from exchange.core.model import DeliveryTarget
from exchange.core.reasons import Reason
from exchange.flow.ports import Answer, Contact
from tests.buyers.speaking import dialect, make_dialects
from tests.buyers.systems import a_parcel, closed_port

SENDER = "leads@exchange.example"
TO = ("crm@buyer.example",)


class Mailbox:
    """Takes mail, or refuses it with the replies it is given by command."""

    def __init__(self, **replies: str) -> None:
        self.replies = replies
        self.mails: list[tuple[list[str], bytes]] = []
        self.secure = False

    async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str,
                          options: list[str]) -> str:  # fmt: skip
        if "mail" in self.replies:
            return self.replies["mail"]
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str,
                          options: list[str]) -> str:  # fmt: skip
        if reply := self.replies.get("rcpt" if address == TO[0] else "rcpt_other"):
            return reply
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.secure = session.ssl is not None
        if "data" in self.replies:
            return self.replies["data"]
        self.mails.append((envelope.rcpt_tos, envelope.content))
        return "250 taken"


@contextmanager
def mail_server(box: Mailbox, **more: Any) -> Iterator[int]:
    controller = Controller(box, hostname="127.0.0.1", port=closed_port(), **more)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


def relay(port: int, **more: Any) -> Relay:
    usual: dict[str, Any] = {"security": "none"}
    return Relay(host="127.0.0.1", port=port, sender=SENDER, **usual | more)


def mail_to(*to: str, **mail: Any) -> DeliveryTarget:
    spoken = dialect(mail=mail) if mail else None
    return DeliveryTarget(kind="email", to=to or TO, dialect=spoken)


async def send(port: int, target: DeliveryTarget | None = None, timeout_s: float = 5.0,
               **more: Any) -> Answer:  # fmt: skip
    courier = EmailCourier(make_dialects(), relay(port, **more))
    return await courier.hand_over(target or mail_to(), a_parcel(), timeout_s)


def parsed(content: bytes) -> EmailMessage:
    message = message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


async def test_a_lead_arrives_as_a_mail_under_its_delivery_id() -> None:
    box = Mailbox()
    with mail_server(box) as port:
        target = mail_to("crm@buyer.example", "b@buyer.example",
                         subject="New {{ vertical }} lead: {{ contact.full_name }}",
                         template="Call {{ contact.phone | phone_national }}.")  # fmt: skip
        async with Couriers(dialects=make_dialects(), relay=relay(port)) as couriers:
            told = await couriers.hand_over(target, a_parcel(), 5.0)
    assert told == Answer(result="accepted")
    recipients, content = box.mails[0]
    message = parsed(content)
    assert recipients == ["crm@buyer.example", "b@buyer.example"]
    assert message["Subject"] == "New solar lead: Ann Müller"
    assert message["From"] == SENDER
    assert message["Message-ID"] == "<d-1@exchange.example>"
    assert message.get_content().strip() == "Call (415) 555-0100."


async def test_without_a_template_the_mail_lists_the_lead() -> None:
    box = Mailbox()
    with mail_server(box) as port:
        await send(port)
    text = parsed(box.mails[0][1]).get_content()
    assert "price: 45.75" in text and "full_name: Ann Müller" in text and "zip: 94107" in text


@pytest.mark.parametrize("name", ["adf_email", "adf_attachment"])
async def test_adf_goes_as_the_body_or_as_a_file(name: str) -> None:
    box = Mailbox()
    use = PresetUse(name=name, params={"vendor": "A & <B> {{ x }}"})
    with mail_server(box) as port:
        told = await send(port, DeliveryTarget(kind="email", to=TO, preset=use))
    assert told.result == "accepted"
    message = parsed(box.mails[0][1])
    if name == "adf_email":
        text = message.get_content()
    else:
        (part,) = message.iter_attachments()
        assert part.get_filename() == "lead.xml"
        content = part.get_content()
        text = content if isinstance(content, str) else content.decode()
    root = fromstring(text.strip().encode())
    assert root.findtext("prospect/id") == "l-1"
    assert root.findtext("prospect/customer/contact/name[@part='last']") == "Müller"
    assert root.findtext("prospect/vendor/vendorname") == "A & <B> {{ x }}"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=60))
def test_nothing_in_a_lead_adds_a_header_to_a_mail(text: str) -> None:
    target = mail_to(subject="{{ contact.first_name }}", template="{{ contact.last_name }}")
    nasty = f"{text}\r\nBcc: x@evil.example\r\n\r\n{text}"
    lead = msgspec.structs.replace(a_parcel(), contact=Contact(first_name=nasty, last_name=nasty))
    message = parsed(write_mail(make_dialects(), target, lead, SENDER))
    assert message["Bcc"] is None
    assert [name for name in message if name == "Subject"] == ["Subject"]
    assert message["To"] == TO[0]


# --- endings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "reply", "reason"),
    [
        ("rcpt", "550 no such user here", Reason.CONNECTIVITY),
        ("rcpt", "450 greylisted, come again", Reason.RATE_LIMITED),
        ("rcpt", "452 too many", Reason.RATE_LIMITED),
        ("mail", "530 authenticate first", Reason.AUTH_FAILURE),
        ("mail", "421 closing", Reason.CONNECTIVITY),
        ("data", "554 looks like spam", Reason.DATA_FORMAT),
        ("data", "552 too large", Reason.DATA_FORMAT),
        ("data", "451 later", Reason.CONNECTIVITY),
    ],
)
async def test_a_servers_no_is_a_clear_failure(command: str, reply: str, reason: Reason) -> None:
    box = Mailbox(**{command: reply})
    with mail_server(box) as port:
        told = await send(port)
    assert told == Answer(result="failed", reason=reason, detail=f"SMTP {reply[:3]}")
    assert not box.mails


async def test_one_address_that_takes_it_is_enough() -> None:
    box = Mailbox(rcpt="550 gone")
    with mail_server(box) as port:
        told = await send(port, mail_to(TO[0], "b@buyer.example"))
    assert told.result == "accepted"
    assert box.mails[0][0] == ["b@buyer.example"]


async def test_a_relay_that_is_not_there_is_a_clear_failure() -> None:
    told = await send(closed_port())
    assert (told.result, told.reason) == ("failed", Reason.CONNECTIVITY)


@asynccontextmanager
async def script(*replies: bytes | None) -> AsyncIterator[int]:
    """A server that gives these replies, one a command; None is silence, the end hangs up."""
    stop = asyncio.Event()

    async def handle(reader: StreamReader, writer: StreamWriter) -> None:
        for reply in replies:
            if reply is None:
                await stop.wait()
                break
            writer.write(reply)
            line = await reader.readline()
            if line == b"DATA\r\n":
                writer.write(b"354 go on\r\n")
                await reader.readuntil(b"\r\n.\r\n")
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        stop.set()
        server.close()
        await server.wait_closed()


GREETED = (b"220 hi\r\n", b"250 ok\r\n", b"250 ok\r\n", b"250 ok\r\n")


async def test_silence_before_the_text_is_a_clear_failure() -> None:
    async with script(None) as port:
        told = await send(port, timeout_s=0.2)
    assert (told.result, told.reason) == ("failed", Reason.CONNECTIVITY)


@pytest.mark.parametrize("ending", [(), (None,)], ids=["hangs up", "is silent"])
async def test_no_word_after_the_text_is_unclear(ending: tuple[None, ...]) -> None:
    async with script(*GREETED, *ending) as port:
        told = await send(port, timeout_s=0.5)
    assert (told.result, told.reason) == ("unclear", Reason.CRM_TIMEOUT)


def test_a_reply_nobody_knows_is_a_failed_connection() -> None:
    assert judge_reply(499).reason is Reason.CONNECTIVITY


# --- security -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .sign(key, hashes.SHA256())
    )
    path: Path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cafile=str(path))


def _check_login(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    assert isinstance(data, LoginPassword)
    return AuthResult(success=(data.login, data.password) == (b"ex", b"pw"), handled=False)


async def test_starttls_and_a_login_are_used_where_demanded(
    certificate: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    server, client = certificate
    box = Mailbox()
    demands = {"tls_context": server, "require_starttls": True, "auth_required": True,
               "authenticator": _check_login}  # fmt: skip
    with mail_server(box, **demands) as port:
        usual = {"security": "starttls", "user": "ex", "tls": client}
        right = msgspec.structs.replace(relay(port, **usual, password="pw"), host="localhost")
        courier = EmailCourier(make_dialects(), right)
        assert (await courier.hand_over(mail_to(), a_parcel(), 5.0)).result == "accepted"
        assert box.secure
        wrong = msgspec.structs.replace(right, password="no")
        told = await EmailCourier(make_dialects(), wrong).hand_over(mail_to(), a_parcel(), 5.0)
        assert (told.result, told.reason) == ("failed", Reason.AUTH_FAILURE)
    assert len(box.mails) == 1


async def test_a_relay_without_the_demanded_tls_or_with_a_strange_certificate_gets_no_mail(
    certificate: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    box = Mailbox()
    with mail_server(box) as port:
        assert (await send(port, security="starttls")).result == "failed"
    with mail_server(box, tls_context=certificate[0]) as port:
        assert (await send(port, security="starttls")).result == "failed"
    assert not box.mails


def test_a_relays_url_says_host_port_and_login() -> None:
    one = relay_of("smtp://ex%40x:p%3Aw@mail.example", SENDER, "opportunistic")
    assert (one.host, one.port, one.user, one.password) == ("mail.example", 587, "ex@x", "p:w")
    assert one.security == "opportunistic" and "p:w" not in repr(one)
    two = relay_of("smtps://mail.example:2465", SENDER, "none")
    assert (two.port, two.security, two.user) == (2465, "tls", None)


async def test_without_a_relay_a_mail_is_a_clear_failure() -> None:
    async with Couriers(dialects=make_dialects()) as couriers:
        told = await couriers.hand_over(mail_to(), a_parcel(), 1.0)
    assert (told.result, told.reason) == ("failed", Reason.CONNECTIVITY)
