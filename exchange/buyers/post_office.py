"""Hands leads over by mail, through the operator's relay: one mail, one answer, tried once.

A relay's clear no means the mail surely did not go out; once its text was sent and no answer came,
whether it did is unclear. Rules: §8. Source: RFC 5321 (reply codes).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

import aiosmtplib
from msgspec import Struct

from exchange.buyers.dialects import Dialects
from exchange.buyers.lead_fields import post_values
from exchange.buyers.outcome import answer_unreadable, never_answered, never_sent
from exchange.buyers.templates import Unwritable
from exchange.core.model import DeliveryTarget
from exchange.core.reasons import Reason
from exchange.flow.dialects import DialectFault
from exchange.flow.ports import Answer, Parcel

MAX_OPEN: Final = 16  # connections a worker holds to the relay at once
_QUIT_S: Final = 0.5  # what a polite end may cost an accepted lead

_AUTH_CODES: Final = frozenset({530, 534, 535, 538})
_FORMAT_CODES: Final = frozenset({500, 501, 502, 503, 504, 521, 552, 554, 555})
_BUSY_CODES: Final = frozenset({450, 452, 471})


class Relay(Struct, frozen=True, kw_only=True):
    """The mail server mail goes out through, and who it is from.

    ``security``: TLS from the start, STARTTLS demanded, STARTTLS if it is offered, or neither.
    ``tls`` replaces the usual trust in certificates.
    """

    host: str
    port: int
    sender: str
    security: Literal["tls", "starttls", "opportunistic", "none"] = "starttls"
    user: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None

    def __repr__(self) -> str:
        return f"Relay({self.host}:{self.port})"


_PORTS: Final = {"smtp": 587, "smtps": 465}


def relay_of(
    url: str, sender: str, security: Literal["starttls", "opportunistic", "none"]
) -> Relay:
    """Read a relay from its URL: ``smtp://user:password@host:587`` or ``smtps://…``, for TLS."""
    parts = urlsplit(url)
    return Relay(
        host=parts.hostname or "",
        port=parts.port or _PORTS[parts.scheme],
        sender=sender,
        security="tls" if parts.scheme == "smtps" else security,
        user=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
    )


class _Progress:
    """How far a mail came."""

    __slots__ = ("text_sent",)

    def __init__(self) -> None:
        self.text_sent = False


class EmailCourier:
    """Mails a parcel to a target's addresses. The Message-ID is the delivery's id."""

    def __init__(self, dialects: Dialects, relay: Relay) -> None:
        self._dialects = dialects
        self._relay = relay
        self._mailer = Mailer(relay)

    async def hand_over(self, target: DeliveryTarget, parcel: Parcel, timeout_s: float) -> Answer:
        """Try once, for at most ``timeout_s``; never raises for what a mail server does."""
        try:
            message = write_mail(self._dialects, target, parcel, self._relay.sender)
        except (DialectFault, Unwritable) as fault:
            return answer_unreadable(f"the mail could not be written: {fault}"[:200])
        return await self._mailer.send(target.to, message, timeout_s)


class Mailer:
    """Sends mails that are written, through the relay."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._room = asyncio.Semaphore(MAX_OPEN)

    @property
    def sender(self) -> str:
        """The address mails are from."""
        return self._relay.sender

    async def send(self, to: Sequence[str], message: bytes | None, timeout_s: float) -> Answer:
        """Try once, for at most ``timeout_s``; never raises for what a mail server does.

        Without a message the relay is only asked whether it would take one for these addresses.
        """
        progress = _Progress()
        client = self._client()
        try:
            async with asyncio.timeout(timeout_s), self._room:
                return await self._send(client, to, message, progress)
        except aiosmtplib.SMTPResponseException as fault:
            return judge_reply(fault.code)
        except (aiosmtplib.SMTPException, OSError, ValueError) as fault:  # a timeout is an OSError
            if progress.text_sent:
                return never_answered("the mail relay did not confirm the mail")
            return never_sent(_name_obstacle(fault))
        finally:
            client.close()

    def _client(self) -> aiosmtplib.SMTP:
        relay = self._relay
        return aiosmtplib.SMTP(
            hostname=relay.host,
            port=relay.port,
            username=relay.user,
            password=relay.password,
            # Else it asks the machine's resolver for its own name, before every mail.
            local_hostname=relay.sender.rpartition("@")[2],
            use_tls=relay.security == "tls",
            start_tls={"starttls": True, "opportunistic": None}.get(relay.security, False),
            tls_context=relay.tls,
            timeout=None,  # one deadline holds for everything: `hand_over`'s
        )

    async def _send(
        self,
        client: aiosmtplib.SMTP,
        to: Sequence[str],
        message: bytes | None,
        progress: _Progress,
    ) -> Answer:
        await client.connect()
        await client.mail(self._relay.sender)
        refused: aiosmtplib.SMTPResponseException | None = None
        taken = 0
        for address in to:
            try:
                await client.rcpt(address)
                taken += 1
            except aiosmtplib.SMTPRecipientRefused as fault:
                refused = fault
        if not taken and refused is not None:
            return judge_reply(refused.code)
        if message is not None:
            progress.text_sent = True
            await client.data(message)
        with suppress(aiosmtplib.SMTPException, OSError):
            async with asyncio.timeout(_QUIT_S):
                await client.quit()
        return Answer(result="accepted")


def write_mail(dialects: Dialects, target: DeliveryTarget, parcel: Parcel, sender: str) -> bytes:
    """Write the mail of a delivery. Raises DialectFault or Unwritable."""
    letter, secrets = dialects.mail(target)
    now = dialects.clock()
    return letter.write(
        post_values(parcel, secrets, now),
        sender=sender,
        to=target.to,
        message_id=parcel.delivery_id,
        date=now,
    )


def judge_reply(code: int) -> Answer:
    """Judge a mail server's no by its reply code.

    The text that came with it stays out: it may quote addresses.
    """
    if code in _AUTH_CODES:
        reason = Reason.AUTH_FAILURE
    elif code in _FORMAT_CODES:
        reason = Reason.DATA_FORMAT
    elif code in _BUSY_CODES:
        reason = Reason.RATE_LIMITED
    else:
        reason = Reason.CONNECTIVITY
    return Answer(result="failed", reason=reason, detail=f"SMTP {code}")


def _name_obstacle(fault: Exception) -> str:
    if isinstance(fault, TimeoutError):
        return "no connection to the mail relay in time"
    if isinstance(fault, aiosmtplib.SMTPNotSupported):
        return "the mail relay offers no such security or login"
    return "no connection to the mail relay"
