"""Mails that carry leads: compiled from a company's templates, written for each lead.

Headers are made of single lines without control characters, so that nothing in a lead can add one.
The same delivery always has the same Message-ID. Knows no server. Source: RFC 5322.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any, Final

from exchange.buyers.formats import text_of
from exchange.buyers.lead_fields import Allowed, FieldFault
from exchange.buyers.mapping import MappingFault
from exchange.buyers.templates import Kind, Template, compile_template, one_line
from exchange.buyers.writing import CONTENT_TYPES, WriteBody, compile_body
from exchange.core.dialect import Attachment, Mail

MAX_SUBJECT_CHARS: Final = 200
_POLICY: Final = SMTP.clone(cte_type="7bit")  # whatever servers lie on the way
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}")
_MEDIA_TYPE: Final = re.compile(r"([a-z]+)/([a-z0-9.+-]+)(?:;.*)?")


class Letter:
    """A mail, compiled. Raises MappingFault with the path within ``mail``."""

    def __init__(self, mail: Mail, allowed: Allowed) -> None:
        self._mail = mail
        self._subject = _template(mail.subject, "line", "subject", allowed)
        kind: Kind = "text" if mail.format == "text" else "xml"
        self._body = (
            None if mail.template is None else _template(mail.template, kind, "template", allowed)
        )
        if mail.format != "text" and self._body is None:
            raise MappingFault("template", "is missing")
        self._attach = None if mail.attachment is None else _Attach(mail.attachment, allowed)

    def write(
        self,
        values: Mapping[str, Any],
        *,
        sender: str,
        to: Sequence[str],
        message_id: str,
        date: datetime,
    ) -> bytes:
        """Write the mail as it goes to a server. Raises Unwritable."""
        message = EmailMessage(policy=_POLICY)
        message["From"] = sender
        message["To"] = ", ".join(to)
        message["Subject"] = one_line(self._subject.render(values)).strip()[:MAX_SUBJECT_CHARS]
        message["Date"] = format_datetime(date)
        message["Message-ID"] = f"<{message_id}@{sender.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"
        text = list_fields(values) if self._body is None else self._body.render(values)
        message.set_content(text, subtype="html" if self._mail.format == "html" else "plain")
        if self._attach is not None:
            self._attach.put(message, values)
        return message.as_bytes()


class _Attach:
    def __init__(self, attachment: Attachment, allowed: Allowed) -> None:
        if not _FILE_NAME.fullmatch(attachment.name):
            raise MappingFault("attachment.name", "is no name for a file")
        given = attachment.content_type or CONTENT_TYPES[attachment.format]
        media = _MEDIA_TYPE.fullmatch(given.lower())
        if media is None or media[1] in ("message", "multipart"):
            raise MappingFault("attachment.content_type", "is no type such as application/xml")
        try:
            body = compile_body(
                attachment.format,
                attachment.fields,
                attachment.template,
                attachment.root,
                allowed,
            )
        except MappingFault as fault:
            path = f"attachment.{fault.path}"
            raise MappingFault(path, fault.message, fault.field) from None
        if body is None:
            raise MappingFault("attachment.template", "is missing, and so are fields")
        self._name = attachment.name
        self._media = (media[1], media[2])
        self._body: WriteBody = body

    def put(self, message: EmailMessage, values: Mapping[str, Any]) -> None:
        """Add the file to a mail."""
        main, sub = self._media
        message.add_attachment(self._body(values), maintype=main, subtype=sub, filename=self._name)


def _template(source: str, kind: Kind, path: str, allowed: Allowed) -> Template:
    try:
        return compile_template(source, kind, allowed)
    except FieldFault as fault:
        raise MappingFault(path, fault.message, fault.field) from None


def list_fields(values: Mapping[str, Any]) -> str:
    """The lead as lines of names and values, for a mail without a template."""
    lines = [f"{name}: {text_of(values[name])}" for name in ("lead_id", "vertical", "price")]
    lines += [f"{name}: {text_of(value)}" for name, value in values["contact"].items() if value]
    lines += [f"{name}: {text_of(value)}" for name, value in values["attributes"].items()]
    lines += [f"consent {name}: {text}" for name, text in values["consent"].items()]
    if values["test"]:
        lines.append("test: true")
    return "".join(f"{one_line(line)}\n" for line in lines)
