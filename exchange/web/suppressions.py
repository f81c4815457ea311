"""Calls about suppression lists: files of contacts read piece by piece, in bounded memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from exchange.core.model import CompanyId
from exchange.flow.faults import Fault, Invalid
from exchange.flow.suppressions import Keys, Suppressed
from exchange.web.calls import Call
from exchange.web.problems import WrongMedia
from exchange.web.suppression_lines import ContactLines
from exchange.web.wire_suppressions import (
    DroppedAnswer,
    RemovalAnswer,
    SuppressionAnswer,
    UploadAnswer,
)

PIECE: Final = 2_500
"""Contacts kept in one transaction, and in memory."""

SLICE: Final = 50
"""Lines read before others have their turn: well under a millisecond, some more where every phone
number is written in a way of its own."""

_MEDIA: Final = frozenset(
    {"", "application/octet-stream", "application/x-www-form-urlencoded", "text/csv", "text/plain"}
)
"""What files of lines are sent as; the form's type is what clients say when told nothing."""

Keep = Callable[[list[Keys]], Awaitable[int]]


async def get_suppressions(call: Call) -> SuppressionAnswer:
    """Say how many contacts a company suppresses."""
    return _show(await call.site.doors.suppressions.show(call.own_company("company_id")))


async def add_suppressions(call: Call) -> UploadAnswer:
    """Put contacts on a company's suppression list, one a line."""
    company_id, doors = call.own_company("company_id"), call.site.doors
    _check_media(call)
    lists, now = doors.suppressions, doors.clock.now()
    number = await lists.open(company_id, now)
    lines, accepted = await _read(call, lambda piece: lists.put(number, piece, now))
    return _uploaded(lines, accepted, await lists.show(company_id))


async def replace_suppressions(call: Call) -> UploadAnswer:
    """Replace a company's suppression list: the old one holds until the new one is whole."""
    company_id, doors = call.own_company("company_id"), call.site.doors
    _check_media(call)
    lists, now = doors.suppressions, doors.clock.now()
    number = await lists.open_new(company_id, now)
    try:
        lines, accepted = await _read(call, lambda piece: lists.put(number, piece, now))
        if lines.lines == lines.invalid:
            raise Invalid(
                "No line names a contact; to end a list, delete it.",
                code="no_contacts",
                details=_progress(lines, accepted),
            )
        return _uploaded(lines, accepted, await lists.replace(number, doors.clock.now()))
    except BaseException:
        await lists.give_up(number)
        raise


async def remove_suppressions(call: Call) -> RemovalAnswer:
    """Take contacts off a company's suppression list, one a line."""
    company_id, doors = call.own_company("company_id"), call.site.doors
    _check_media(call)
    lists, now = doors.suppressions, doors.clock.now()
    number = await lists.open(company_id, now)
    # A contact that was put on by its hash alone is off whichever way it is named.
    lines, removed = await _read(call, lambda piece: lists.take(number, piece, now), both=True)
    listed = await lists.show(company_id)
    return RemovalAnswer(
        company_id=company_id,
        lines=lines.lines,
        invalid=lines.invalid,
        invalid_lines=tuple(lines.invalid_lines),
        contacts=listed.contacts,
        removed=removed,
        not_there=lines.named - removed,
    )


async def drop_suppressions(call: Call) -> DroppedAnswer:
    """End a company's suppression list."""
    company_id, doors = call.own_company("company_id"), call.site.doors
    removed = await doors.suppressions.drop(company_id, doors.clock.now())
    return DroppedAnswer(company_id=company_id, removed=removed)


async def _read(call: Call, keep: Keep, *, both: bool = False) -> tuple[ContactLines, int]:
    """Read the body's lines and keep them piece by piece; gives what was read and kept.

    What was kept before a fault stays so, and the fault tells how far it came.
    """
    lines = ContactLines(call.site.limits.hash_key, both=both)
    kept, piece = 0, list[Keys]()
    try:
        async for contact in _contacts(call, lines):
            piece.append(contact)
            if len(piece) == PIECE:
                kept += await keep(piece)
                piece = []
        kept += await keep(piece) if piece else 0
    except Fault as fault:
        fault.details = {**fault.details, **_progress(lines, kept)}
        raise
    return lines, kept


async def _contacts(call: Call, lines: ContactLines) -> AsyncIterator[Keys]:
    """The contacts of the body's lines as they come, with pauses for all else this worker does."""
    if call.stream is None:
        raise RuntimeError("a route that reads its body piece by piece is not marked as one")
    read = 0
    async for data in call.stream():
        for contact in lines.feed(data):
            if contact is not None:
                yield contact
            read += 1
            if read % SLICE == 0:
                await asyncio.sleep(0)
    for contact in lines.end():
        yield contact


def _check_media(call: Call) -> None:
    headers = call.headers
    if headers.get("Content-Encoding", "identity").lower() != "identity":
        raise WrongMedia("Bodies are taken uncompressed only.")
    if headers.get("Content-Type", "").partition(";")[0].strip().lower() not in _MEDIA:
        raise WrongMedia("A suppression list is text/csv or text/plain, one contact a line.")


def _progress(lines: ContactLines, kept: int) -> dict[str, object]:
    return {"lines": lines.lines, "invalid": lines.invalid, "kept": kept}


def _show(listed: Suppressed) -> SuppressionAnswer:
    return SuppressionAnswer(
        company_id=listed.company_id, contacts=listed.contacts, changed_at=listed.changed_at
    )


def _uploaded(lines: ContactLines, accepted: int, listed: Suppressed) -> UploadAnswer:
    return UploadAnswer(
        company_id=CompanyId(listed.company_id),
        lines=lines.lines,
        invalid=lines.invalid,
        invalid_lines=tuple(lines.invalid_lines),
        contacts=listed.contacts,
        accepted=accepted,
        already_there=lines.named - accepted,
    )
