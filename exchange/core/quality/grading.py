"""A lead graded: its flaws found, its score made of them, and whether that refuses it.

Holds what a worker counts; everything else is a function of the lead and the rules. A test lead is
looked at like any other and counted nowhere. Source: rules §3.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Struct

from exchange.core.filters import Predicate, compile_filter
from exchange.core.model import Offer, Ping
from exchange.core.quality.email import email_flaws
from exchange.core.quality.flaws import CHECKS, Flaw, flaw, score_of
from exchange.core.quality.person import address_flaws, name_flaws
from exchange.core.quality.phone import phone_flaws
from exchange.core.quality.place import PlaceCheck
from exchange.core.quality.velocity import Pace, Variety
from exchange.core.reasons import Reason
from exchange.core.verticals import Vertical

_MINUTE_S: Final = 60
_HOUR_S: Final = 3_600


class QualityRules(Struct, frozen=True, kw_only=True):
    """What the operator refuses and counts; a vertical may refuse more.

    ``refuse`` are names of checks. Counts are the most that raise no flaw, 0 counts nothing.
    ``disposable_domains`` are mail domains beyond those known.
    """

    refuse: Set[str] = frozenset()
    refuse_score_below: int = 0
    pings_per_source_minute: int = 0
    pings_per_contact_hour: int = 0
    phones_per_name_hour: int = 0
    phones_per_address_hour: int = 0
    disposable_domains: Set[str] = frozenset()


class Posted(Struct, frozen=True, kw_only=True):
    """A contact as it is graded: ``phone`` in E.164; the address as a text or in parts."""

    first_name: str
    last_name: str
    phone: str | None = None
    email: str | None = None
    address: str | Mapping[str, str] | None = None


class Grading:
    """Grades the leads of every vertical."""

    def __init__(self, verticals: Iterable[Vertical], rules: QualityRules) -> None:
        """Raises FilterError for a vertical whose impossible combinations do not fit it."""
        self._rules = rules
        self._verticals = {vertical.name: _OfVertical(vertical, rules) for vertical in verticals}
        self._sources = Pace(_MINUTE_S) if rules.pings_per_source_minute else None
        self._contacts = Pace(_HOUR_S) if rules.pings_per_contact_hour else None
        self._counts = self._sources is not None or self._contacts is not None
        self._names = Variety(_HOUR_S) if rules.phones_per_name_hour else None
        self._addresses = Variety(_HOUR_S) if rules.phones_per_address_hour else None

    def ping(self, ping: Ping, now: datetime) -> Ping:
        """The ping with its flaws and its score; the same one where nothing is found."""
        flaws = self._verticals[ping.vertical].look(ping.attributes)
        if self._counts:
            flaws += self._count_ping(ping, int(now.timestamp()))
        if not flaws:
            return ping
        return msgspec.structs.replace(ping, flaws=flaws, quality_score=score_of(flaws))

    def ping_refused(self, ping: Ping) -> Reason | None:
        """Why a graded ping is refused as a whole; None if it is not."""
        found = self._verticals[ping.vertical]
        return found.refusal(ping.flaws, ping.quality_score, Reason.LOW_QUALITY)

    def post(self, offer: Offer, posted: Posted, now: datetime) -> Offer:
        """The offer with the flaws of the contact it is posted with, in place of any it had."""
        flaws = self._look_at_contact(offer, posted)
        # What is refused anyway may come again mended, and is not held against it then.
        is_taken = self._refusal_of(offer, flaws) is None
        flaws += self._count_contact(
            offer, posted, int(now.timestamp()), add=is_taken and not offer.test
        )
        if not flaws and not offer.contact_flaws:
            return offer
        return msgspec.structs.replace(offer, contact_flaws=tuple(flaws))

    def post_refused(self, offer: Offer) -> Reason | None:
        """Why a graded post is refused as a whole; None if it is not."""
        return self._refusal_of(offer, offer.contact_flaws)

    def _refusal_of(self, offer: Offer, flaws: Sequence[Flaw]) -> Reason | None:
        if not flaws:
            return None
        score = score_of(flaws, offer.quality_score)
        return self._verticals[offer.vertical].refusal(flaws, score, Reason.CONTACT_SCORE)

    def _count_ping(self, ping: Ping, at_s: int) -> tuple[Flaw, ...]:
        rules, add, seller_id = self._rules, not ping.test, ping.seller_id
        found: tuple[Flaw, ...] = ()
        if self._sources is not None and ping.source:
            told = ping.source.items()
            key = hash((seller_id, *(told if len(told) == 1 else sorted(told))))
            came = self._sources.count(key, at_s, add=add)
            if came > rules.pings_per_source_minute:
                message = f"This source sent {came} pings within a minute."
                found += (flaw("source_pace", message),)
        if self._contacts is not None and ping.contact_keys:
            most = 0
            for contact_key in ping.contact_keys:
                came = self._contacts.count(hash((seller_id, contact_key)), at_s, add=add)
                most = came if came > most else most
            if most > rules.pings_per_contact_hour:
                message = f"This contact was pinged {most} times within an hour."
                found += (flaw("contact_pace", message),)
        return found

    def _look_at_contact(self, offer: Offer, posted: Posted) -> list[Flaw]:
        zips, states = self._verticals[offer.vertical].where(offer.attributes)
        flaws = name_flaws(posted.first_name, posted.last_name)
        if posted.phone is not None:
            flaws += phone_flaws(posted.phone, states)
        if posted.email is not None:
            flaws += email_flaws(posted.email, self._rules.disposable_domains)
        return flaws + address_flaws(posted.address, zips, states)

    def _count_contact(self, offer: Offer, posted: Posted, at_s: int, *, add: bool) -> list[Flaw]:
        rules, found = self._rules, list[Flaw]()
        if posted.phone is None:
            return found
        phone, seller = hash(posted.phone), offer.seller_id
        if self._names is not None:
            name = f"{posted.first_name} {posted.last_name}".strip().casefold()
            phones = self._names.count(hash((seller, "name", name)), phone, at_s, add=add)
            if phones > rules.phones_per_name_hour:
                message = f"This name came with {phones} phone numbers within an hour."
                found.append(flaw("name_phones", message))
        if self._addresses is not None and (address := _written(posted.address)):
            phones = self._addresses.count(hash((seller, "at", address)), phone, at_s, add=add)
            if phones > rules.phones_per_address_hour:
                message = f"This address came with {phones} phone numbers within an hour."
                found.append(flaw("address_phones", message))
        return found


class _OfVertical:
    """What is looked at, and refused, of one vertical's leads."""

    def __init__(self, vertical: Vertical, rules: QualityRules) -> None:
        self._place = PlaceCheck(vertical)
        self._impossible: tuple[tuple[Predicate, Flaw, bool], ...] = tuple(
            (
                compile_filter(one.when, vertical, f"impossible[{i}].when"),
                Flaw(check="impossible", points=one.points, message=one.message),
                one.refuse,
            )
            for i, one in enumerate(vertical.impossible)
        )
        self._refuse = frozenset(rules.refuse) | frozenset(vertical.quality.refuse)
        self._floor = max(rules.refuse_score_below, vertical.quality.refuse_score_below)
        self._refusing = frozenset(one for _, one, refuse in self._impossible if refuse)
        self._zips = tuple(n for n, spec in vertical.attributes.items() if spec.kind == "zip")
        self._states = tuple(n for n, spec in vertical.attributes.items() if spec.kind == "state")

    def look(self, attributes: Struct) -> tuple[Flaw, ...]:
        flaws = self._place.look(attributes)
        for applies, found, _ in self._impossible:
            if applies(attributes):
                flaws += (found,)
        return flaws

    def refusal(self, flaws: Iterable[Flaw], score: int, below: Reason) -> Reason | None:
        for one in flaws:
            if one.check in self._refuse or one in self._refusing:
                return CHECKS[one.check].reason
        return below if score < self._floor else None

    def where(self, attributes: msgspec.Raw) -> tuple[frozenset[str], frozenset[str]]:
        """The ZIP codes and the states a pinged lead names."""
        pinged: dict[str, Any] = _decode(attributes)
        zips = frozenset(pinged[name] for name in self._zips if name in pinged)
        return zips, frozenset(pinged[name] for name in self._states if name in pinged)


_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


def posted_score(offer: Offer) -> int:
    """A lead's score with the contact it was posted with; the ping's before that."""
    return score_of(offer.contact_flaws, offer.quality_score)


def _written(address: str | Mapping[str, str] | None) -> str:
    """An address as one text that does not depend on case, blanks or marks."""
    if address is None:
        return ""
    text = address if isinstance(address, str) else " ".join(address.values())
    return "".join(char for char in text.casefold() if char.isalnum())
