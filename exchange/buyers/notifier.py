"""Sends what alerts have to tell: a signed webhook, or a mail through the operator's relay.

One try; where a webhook may go is `addresses`', as for leads, and no redirect is followed. Nothing
of a URL is in what went wrong. Rules: §12.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any, Final

import msgspec

from exchange.buyers.opened import Opened
from exchange.buyers.post_office import Mailer, Relay
from exchange.buyers.requests import USER_AGENT, Signing
from exchange.buyers.sender import HttpSender, Lost
from exchange.buyers.speech import Outgoing
from exchange.buyers.templates import one_line
from exchange.flow.alert_ports import Notice

TIMEOUT_S: Final = 10.0
"""The longest a webhook or a relay may take; a notice is tried again."""

_MAX_ANSWER_BYTES: Final = 16 * 1024  # nothing is read of it but the status
_MAX_SUBJECT_CHARS: Final = 150
_POLICY: Final = SMTP.clone(cte_type="7bit")
_HEADINGS: Final = {"raised": "Alert", "renewed": "Still", "recovered": "Over", "test": "Test"}

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class AlertNotifier(Opened):
    """Implements `flow.alert_ports.Notifier`. ``secret_of`` gives a receiver's signing secret."""

    def __init__(
        self,
        *,
        secret_of: Callable[[str], str],
        clock: Callable[[], datetime],
        allow_private_addresses: bool = False,
        relay: Relay | None = None,
    ) -> None:
        self._secret_of = secret_of
        self._clock = clock
        self._mailer = None if relay is None else Mailer(relay)
        self._sender = HttpSender(
            allow_private_addresses=allow_private_addresses, max_answer_bytes=_MAX_ANSWER_BYTES
        )

    async def start(self) -> None:
        """Open what is needed; must run in the loop that will use it."""
        await self._sender.start()

    async def close(self) -> None:
        """Close every connection. Safe to repeat."""
        await self._sender.close()

    async def send(self, notice: Notice, url: str | None) -> str | None:
        """Send to a mail's address, or to the URL; None if it was taken, else what went wrong."""
        if notice.channel == "email":
            return await self._mail(notice)
        if url is None:
            return "there is no URL"
        signing = Signing(self._secret_of(notice.receiver), int(self._clock().timestamp()))
        headers = (
            ("Content-Type", "application/json"),
            ("User-Agent", USER_AGENT),
            ("Idempotency-Key", notice.notice_id),
            *signing.headers(notice.body),
        )
        came = await self._sender.send(Outgoing("POST", url, headers, notice.body), TIMEOUT_S)
        if isinstance(came, Lost):
            return came.detail
        return None if 200 <= came.status <= 299 else f"HTTP {came.status}"

    async def _mail(self, notice: Notice) -> str | None:
        if self._mailer is None:
            return "the exchange has no mail relay"
        message = write_notice(notice, self._mailer.sender, self._clock())
        told = await self._mailer.send((notice.address,), message, TIMEOUT_S)
        return None if told.result == "accepted" else (told.detail or told.result)


def write_notice(notice: Notice, sender: str, now: datetime) -> bytes:
    """Write a notice as a mail: what happened, how it was computed, and what it is about."""
    body = _decode(notice.body)
    alert = body["alert"]
    message = EmailMessage(policy=_POLICY)
    message["From"] = sender
    message["To"] = notice.address
    subject = f"[{alert['severity']}] {_HEADINGS[body['event']]}: {alert['title']}"
    message["Subject"] = one_line(subject)[:_MAX_SUBJECT_CHARS]
    message["Date"] = format_datetime(now)
    # The same notice has the same id however often it is sent, so that mail programs know it.
    message["Message-ID"] = f"<{notice.notice_id}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    lines = [alert["text"], ""]
    lines += [f"{name}: {alert[name]}" for name in _SHOWN if alert[name]]
    lines += ["", *(f"{name}: {value}" for name, value in alert["values"].items())]
    message.set_content("".join(f"{one_line(line)}\n" for line in lines))
    return message.as_bytes()


_SHOWN: Final = (
    "arithmetic",
    "kind",
    "severity",
    "state",
    "company_id",
    "campaign_id",
    "detail",
    "raised_at",
    "recovered_at",
    "alert_id",
)
