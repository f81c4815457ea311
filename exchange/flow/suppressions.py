"""Companies' suppression lists: the contacts they do not want, and how these are kept.

The values and the protocol; implemented in `exchange.stores`. A contact is known here by its keyed
hashes of 32 bytes: one where its field is known, and one for each field where only its digest was
given. Source: rules §3.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NewType, Protocol

from msgspec import Struct

from exchange.core.model import CompanyId

ListNumber = NewType("ListNumber", int)
"""One list, for good: a list that replaces another has a number of its own."""

Keys = tuple[bytes, ...]
"""A contact's keyed hashes, one or two."""


class Suppressed(Struct, frozen=True, kw_only=True):
    """How many contacts a company suppresses, and when that last changed."""

    company_id: CompanyId
    contacts: int
    changed_at: datetime | None


class SuppressionLists(Protocol):
    """Suppression lists, one that holds for each company. Every method may raise Unavailable.

    A list is written piece by piece, each durable when its call returns, and writing a piece again
    changes nothing. What is on a list is offered to nobody who is asked for it afterwards, and
    delivered to nobody at all.
    """

    async def show(self, company_id: CompanyId) -> Suppressed:
        """A company's list. Raises NotFound for no such company."""
        ...

    async def open(self, company_id: CompanyId, now: datetime) -> ListNumber:
        """The company's list, made where there is none. Raises NotFound for no such company."""
        ...

    async def open_new(self, company_id: CompanyId, now: datetime) -> ListNumber:
        """A list that holds for nobody until it replaces the company's. Raises NotFound."""
        ...

    async def put(self, number: ListNumber, contacts: Sequence[Keys], now: datetime) -> int:
        """Put contacts on a list; gives how many were not on it.

        Raises Conflict where the list was replaced meanwhile, or would become too long.
        """
        ...

    async def take(self, number: ListNumber, contacts: Sequence[Keys], now: datetime) -> int:
        """Take contacts off a list; gives how many were on it. Raises Conflict like `put`."""
        ...

    async def replace(self, number: ListNumber, now: datetime) -> Suppressed:
        """Let a new list hold in place of the company's, whole and at once. Raises Conflict."""
        ...

    async def give_up(self, number: ListNumber) -> None:
        """Forget a list that will not replace any."""
        ...

    async def drop(self, company_id: CompanyId, now: datetime) -> int:
        """End a company's list; gives how many contacts were on it. Raises NotFound."""
        ...
