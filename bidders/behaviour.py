"""Decides how a CRM answers a lead delivery.

Pure: no clock, no randomness, no I/O; it knows neither sockets nor what was seen before.
The answers and what the exchange must make of them: design, Wire; rules: §8.
"""

import hashlib
from typing import Annotated, Literal

import msgspec

Outcome = Literal["accepted", "refused", "failed"]
Failure = Literal["500", "401", "422", "429", "garbage", "reset", "hang"]
Ending = Literal["answer", "reset", "hang"]

MAX_DELAY_MS = 60_000  # longer than any sender waits for a CRM
MAX_HEALS_AFTER = 1_000  # attempts; far beyond any retry plan
_DRAW_STEPS = 1 << 53  # as many steps in [0, 1) as a float can tell apart

Rate = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Behaviour(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Say how a CRM treats its leads.

    `fail_rate` and `refuse_rate` are shares of all deliveries, so together at most 1; the rest
    is accepted. With `heals_after` k > 0 a failing delivery fails k times and is then accepted;
    with 0 it fails for ever.
    """

    delay_ms: Annotated[int, msgspec.Meta(ge=0, le=MAX_DELAY_MS)] = 0
    fail_rate: Rate = 0.0
    failure: Failure = "500"
    refuse_rate: Rate = 0.0
    refuse_reason: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] = "duplicate"
    heals_after: Annotated[int, msgspec.Meta(ge=0, le=MAX_HEALS_AFTER)] = 0

    def __post_init__(self) -> None:
        # Rounded, so that two rates written in decimals may fill the whole exactly.
        if round(self.fail_rate + self.refuse_rate, 9) > 1:
            raise ValueError("`refuse_rate` and `fail_rate` together must be at most 1")

    @property
    def does(self) -> str:
        """What it does, in a few words."""
        said = []
        if self.fail_rate:
            healing = f", {self.heals_after} times each" if self.heals_after else ""
            said.append(f"fails {self.fail_rate:.0%} with {self.failure}{healing}")
        if self.refuse_rate:
            said.append(f"refuses {self.refuse_rate:.0%} as {self.refuse_reason}")
        if self.fail_rate + self.refuse_rate < 1:
            said.append("takes the rest" if said else "takes every lead")
        late = f", after {self.delay_ms} ms" if self.delay_ms else ""
        return ", ".join(said) + late


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What goes back for one delivery; `status` and below count only if it ends in an answer."""

    outcome: Outcome
    ending: Ending = "answer"
    delay_ms: int = 0
    status: int = 200
    content_type: str = "application/json"
    body: bytes = b""
    retry_after_seconds: int | None = None


_FAILED: dict[Failure, Answer] = {
    "500": Answer(outcome="failed", status=500, body=b'{"error":"internal error"}'),
    "401": Answer(outcome="failed", status=401, body=b'{"error":"unknown key"}'),
    "422": Answer(outcome="failed", status=422, body=b'{"error":"a field is not as expected"}'),
    "429": Answer(
        outcome="failed", status=429, body=b'{"error":"too many leads"}', retry_after_seconds=1
    ),
    "garbage": Answer(
        outcome="failed", content_type="text/html", body=b"<html><body>Welcome<br></body>"
    ),
    "reset": Answer(outcome="failed", ending="reset"),
    "hang": Answer(outcome="failed", ending="hang"),
}


def respond(behaviour: Behaviour, draw: float, attempt: int = 1) -> Answer:
    """Choose the answer to a delivery's attempt.

    `draw` is the delivery's own, in [0, 1); `attempt` counts from 1.
    """
    if draw < behaviour.fail_rate:
        healed = 0 < behaviour.heals_after < attempt
        if not healed:
            return msgspec.structs.replace(_FAILED[behaviour.failure], delay_ms=behaviour.delay_ms)
    elif draw < behaviour.fail_rate + behaviour.refuse_rate:
        return _reply(
            behaviour, "refused", {"status": "rejected", "reason": behaviour.refuse_reason}
        )
    return _reply(behaviour, "accepted", {"status": "accepted", "reference": _reference(draw)})


def draw_fate(seed: int, crm: str, delivery_id: str) -> float:
    """Draw a delivery's number in [0, 1): always the same at one CRM under one seed.

    The CRM's name takes part so that a backup does not share the fate of what it backs up.
    """
    text = f"{seed}\0{crm}\0{delivery_id}".encode()
    word = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest())
    return (word >> 11) / _DRAW_STEPS


def _reply(behaviour: Behaviour, outcome: Outcome, body: dict[str, str]) -> Answer:
    return Answer(outcome=outcome, delay_ms=behaviour.delay_ms, body=msgspec.json.encode(body))


def _reference(draw: float) -> str:
    return f"{int(draw * _DRAW_STEPS):014x}"
