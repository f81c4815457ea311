"""Keeps what each CRM saw and makes its deliveries idempotent.

In memory and bounded. It knows no sockets: an attempt goes in, the answer to give comes out.
Where it comes from: design, Wire (the lead delivery).
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec

from bidders.behaviour import Answer, Behaviour, Outcome, draw_fate, respond
from bidders.kit.wire import Lead

MAX_CRMS = 1_000  # more than a market of the demo or the benchmarks has companies
MAX_RECORD_LEADS = 50_000  # per CRM, the oldest dropped
MAX_RECORD_BYTES = 64 << 20  # per CRM; 50,000 usual leads take about half of it
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class UnknownCrm(LookupError):
    """No CRM has this name."""


class TooManyCrms(Exception):
    """The server holds as many CRMs as it may."""


class DeliveryConflict(Exception):
    """A delivery id came again with another lead in it."""


class SeenLead(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery as a CRM saw it: its last outcome, and the body of its first attempt."""

    delivery_id: str
    lead_id: str
    campaign_id: str
    price_cents: int
    outcome: Outcome
    attempts: int
    payload: bytes

    def decode_payload(self) -> dict[str, Any]:
        """Read the body as received."""
        body: dict[str, Any] = msgspec.json.decode(self.payload, type=dict[str, Any])
        return body


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What a CRM saw since it was made or last forgot.

    `seen` = `deliveries` + `repeats` + `conflicts`, and
    `deliveries` = `accepted` + `refused` + `failed`, each delivery by its last outcome.
    `unreadable` requests are in none of these; `dropped` deliveries have left the record but
    not the counts.
    """

    seen: int = 0
    deliveries: int = 0
    accepted: int = 0
    refused: int = 0
    failed: int = 0
    repeats: int = 0
    conflicts: int = 0
    unreadable: int = 0
    dropped: int = 0


class Sink:
    """One CRM: its behaviour and its record."""

    def __init__(self, name: str, seed: int, behaviour: Behaviour) -> None:
        self.name = name
        self.behaviour = behaviour
        self._seed = seed
        self._tally: Counter[str] = Counter()  # by the names of Counts
        self._record: dict[str, tuple[SeenLead, Answer]] = {}  # in order of arrival
        self._record_bytes = 0

    @property
    def counts(self) -> Counts:
        """What was seen so far."""
        return Counts(**self._tally)

    def receive(self, lead: Lead, payload: bytes) -> Answer:
        """Take one attempt and return its answer.

        An accepted or refused delivery answers as it first did, whatever the behaviour is by
        now. A failed one was never taken, so it is decided again, by the same draw.
        Raises DeliveryConflict.
        """
        self._tally["seen"] += 1
        known = self._record.get(lead.delivery_id)
        if known is None:
            return self._take(lead, payload)
        seen, answer = known
        if not _same_json(seen.payload, payload):
            self._tally["conflicts"] += 1
            raise DeliveryConflict(lead.delivery_id)
        self._tally["repeats"] += 1
        attempts = seen.attempts + 1
        if answer.outcome == "failed":
            answer = self._decide(lead.delivery_id, attempts)
            self._tally[seen.outcome] -= 1
            self._tally[answer.outcome] += 1
        seen = msgspec.structs.replace(seen, attempts=attempts, outcome=answer.outcome)
        self._record[lead.delivery_id] = seen, answer
        return answer

    def note_unreadable(self) -> None:
        """Count a request no lead could be read from."""
        self._tally["unreadable"] += 1

    def leads(self, limit: int = MAX_RECORD_LEADS) -> list[SeenLead]:
        """Return the newest deliveries, at most `limit`, in order of arrival."""
        leads = [seen for seen, _ in self._record.values()]
        return leads[-limit:] if limit > 0 else []

    def forget(self) -> int:
        """Clear record and counts; return how many deliveries the record held."""
        forgotten = len(self._record)
        self._record.clear()
        self._record_bytes = 0
        self._tally.clear()
        return forgotten

    def _decide(self, delivery_id: str, attempt: int) -> Answer:
        return respond(self.behaviour, draw_fate(self._seed, self.name, delivery_id), attempt)

    def _take(self, lead: Lead, payload: bytes) -> Answer:
        answer = self._decide(lead.delivery_id, 1)
        self._tally["deliveries"] += 1
        self._tally[answer.outcome] += 1
        seen = SeenLead(
            delivery_id=lead.delivery_id,
            lead_id=lead.lead_id,
            campaign_id=lead.campaign_id,
            price_cents=lead.price_cents,
            outcome=answer.outcome,
            attempts=1,
            payload=payload,
        )
        self._record[lead.delivery_id] = seen, answer
        self._record_bytes += len(payload)
        while len(self._record) > MAX_RECORD_LEADS or self._record_bytes > MAX_RECORD_BYTES:
            oldest, _ = self._record.pop(next(iter(self._record)))
            self._record_bytes -= len(oldest.payload)
            self._tally["dropped"] += 1
        return answer


class Crms:
    """The CRMs of one server, by name."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._sinks: dict[str, Sink] = {}

    def __iter__(self) -> Iterator[Sink]:
        return iter(list(self._sinks.values()))

    def find(self, name: str) -> Sink:
        """Return the CRM of this name; raises UnknownCrm."""
        try:
            return self._sinks[name]
        except KeyError:
            raise UnknownCrm(name) from None

    def set_behaviour(self, name: str, behaviour: Behaviour) -> bool:
        """Create a CRM or change how it behaves; its record stays. True if it was created.

        Raises ValueError for a name or a behaviour out of range, TooManyCrms.
        """
        if not _NAME.fullmatch(name):
            raise ValueError("`name` must be 1 to 64 of a-z, 0-9, _ and -, not led by _ or -")
        # A Struct made in Python has not passed its bounds; decoding makes it pass them.
        checked = msgspec.convert(msgspec.to_builtins(behaviour), Behaviour)
        if name in self._sinks:
            self._sinks[name].behaviour = checked
            return False
        if len(self._sinks) >= MAX_CRMS:
            raise TooManyCrms(f"at most {MAX_CRMS} CRMs")
        self._sinks[name] = Sink(name, self.seed, checked)
        return True


def _same_json(one: bytes, other: bytes) -> bool:
    return one == other or bool(msgspec.json.decode(one) == msgspec.json.decode(other))
