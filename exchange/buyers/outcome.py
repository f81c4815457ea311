"""Decides what a company's answer to a delivery means, and what the lack of one means.

Pure: knows statuses and bytes, neither sockets nor clients. Rules: §8; design, Wire.

One distinction rules all others: *failed* says the company surely did not take the lead (or said
so), *unclear* that the lead may have arrived. Whatever is in doubt is unclear.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from exchange.buyers.redaction import clean_reference, redact
from exchange.core.reasons import REJECTION_REASONS, Reason
from exchange.flow.ports import Answer, Contact

_BY_STATUS: Final = {
    400: Reason.DATA_FORMAT,
    401: Reason.AUTH_FAILURE,
    403: Reason.AUTH_FAILURE,
    415: Reason.DATA_FORMAT,
    422: Reason.DATA_FORMAT,
    429: Reason.RATE_LIMITED,
}
_BOM: Final = b"\xef\xbb\xbf"  # some systems begin their JSON with it


class _Reply(Struct, frozen=True):
    """What a company says of a lead; only a text or number is made use of below the status."""

    status: str
    reference: object = None
    reason: object = None


_read_reply = msgspec.json.Decoder(_Reply).decode


def judge_status(status: int) -> Answer | None:
    """Judge by the status alone; None for a 2xx, where the body decides.

    A redirect is a failure like any other: a lead goes where the company said, nowhere else.
    """
    if 200 <= status <= 299:
        return None
    reason = _BY_STATUS.get(status, Reason.CONNECTIVITY)
    return Answer(result="failed", reason=reason, detail=f"HTTP {status}")


def judge_answer(status: int, body: bytes, contact: Contact) -> Answer:
    """Judge a whole answer; ``contact`` is the lead's, to be kept out of what is reported."""
    by_status = judge_status(status)
    if by_status is not None:
        return by_status
    text = body.removeprefix(_BOM).strip()
    if not text:
        return Answer(result="accepted")
    try:
        reply = _read_reply(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return answer_unreadable(f"HTTP {status}, unreadable answer")
    match reply.status.strip().lower():
        case "accepted":
            return Answer(result="accepted", reference=_read_reference(reply.reference, contact))
        case "rejected" | "refused":
            return _judge_refusal(reply.reason, contact)
        case _:
            return answer_unreadable(f"HTTP {status}, unknown status in the answer")


def answer_unreadable(detail: str) -> Answer:
    """Judge an answer nobody can read, or that is larger than anyone should."""
    return Answer(result="failed", reason=Reason.DATA_FORMAT, detail=detail)


def never_sent(detail: str) -> Answer:
    """Judge a request of which no byte went out: another try cannot be a second one."""
    return Answer(result="failed", reason=Reason.CONNECTIVITY, detail=detail)


def never_answered(detail: str) -> Answer:
    """Judge a request that may have arrived, and whose answer did not, or not whole."""
    return Answer(result="unclear", reason=Reason.CRM_TIMEOUT, detail=detail)


def _judge_refusal(said: object, contact: Contact) -> Answer:
    if not isinstance(said, str) or not said.strip():
        return Answer(result="refused", reason=Reason.COMPANY_REFUSED)
    reason = REJECTION_REASONS.get(said.strip().lower())
    if reason is not None:
        return Answer(result="refused", reason=reason)
    detail = redact(said, contact) or None
    return Answer(result="refused", reason=Reason.COMPANY_REFUSED, detail=detail)


def _read_reference(said: object, contact: Contact) -> str | None:
    if isinstance(said, bool) or not isinstance(said, str | int):
        return None
    return clean_reference(str(said).strip(), contact)
