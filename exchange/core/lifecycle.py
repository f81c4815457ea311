"""The life of a lead, as one table of (state, event) → state.

A lead with several legs (a shared sale) is in the state `combine` makes of them, so it too is in
exactly one. A sale that is restored after its window has closed is sold and final in one step.
Source: rules §2, §8.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final


class State(StrEnum):
    """Where a leg, and with it a lead, can be."""

    RECEIVED = "received"
    DELIVERING = "delivering"
    SOLD = "sold"
    IN_REVIEW = "in_review"
    UNSOLD = "unsold"
    REJECTED = "rejected"
    FINAL = "final"
    TIMED_OUT = "timed_out"
    INVALID = "invalid"


class Event(StrEnum):
    """What can happen to a leg."""

    CLAIMED = "claimed"
    ACCEPTED = "accepted"
    NEXT_RANK = "next_rank"
    NO_RANK_LEFT = "no_rank_left"
    LIMIT_PASSED = "limit_passed"
    FOUND_INVALID = "found_invalid"
    COMPANY_REJECTED = "company_rejected"
    REVIEW_ASKED = "review_asked"
    REVIEW_APPROVED = "review_approved"
    REVIEW_DECLINED = "review_declined"
    REJECTION_REVERSED = "rejection_reversed"
    WINDOW_CLOSED = "window_closed"


class LifecycleError(ValueError):
    """An event that cannot happen in the state the leg is in."""


TRANSITIONS: Final[dict[tuple[State, Event], State]] = {
    (State.RECEIVED, Event.CLAIMED): State.DELIVERING,
    (State.RECEIVED, Event.NO_RANK_LEFT): State.UNSOLD,
    (State.RECEIVED, Event.LIMIT_PASSED): State.TIMED_OUT,
    (State.RECEIVED, Event.FOUND_INVALID): State.INVALID,
    (State.DELIVERING, Event.ACCEPTED): State.SOLD,
    (State.DELIVERING, Event.NEXT_RANK): State.DELIVERING,
    (State.DELIVERING, Event.NO_RANK_LEFT): State.UNSOLD,
    (State.DELIVERING, Event.LIMIT_PASSED): State.TIMED_OUT,
    (State.DELIVERING, Event.FOUND_INVALID): State.INVALID,
    (State.SOLD, Event.COMPANY_REJECTED): State.REJECTED,
    (State.SOLD, Event.REVIEW_ASKED): State.IN_REVIEW,
    (State.IN_REVIEW, Event.REVIEW_APPROVED): State.REJECTED,
    (State.IN_REVIEW, Event.REVIEW_DECLINED): State.SOLD,
    (State.REJECTED, Event.REJECTION_REVERSED): State.SOLD,
    (State.SOLD, Event.WINDOW_CLOSED): State.FINAL,
}

DONE: Final = frozenset(
    {
        State.SOLD,
        State.IN_REVIEW,
        State.UNSOLD,
        State.REJECTED,
        State.FINAL,
        State.TIMED_OUT,
        State.INVALID,
    }
)
"""States in which nothing more is delivered for a leg."""

PRECEDENCE: Final = (
    State.DELIVERING,
    State.RECEIVED,
    State.SOLD,
    State.IN_REVIEW,
    State.FINAL,
    State.REJECTED,
    State.TIMED_OUT,
    State.INVALID,
    State.UNSOLD,
)
"""Which of its legs' states is a lead's: the first of these, the most alive."""


def advance(state: State, event: Event) -> State:
    """Move a leg along the table. Raises LifecycleError for a move the table does not have."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise LifecycleError(f"a leg that is {state} cannot be {event}") from None


def combine(states: Iterable[State]) -> State:
    """The one state of a lead whose legs are in these states: the most alive of them.

    Raises LifecycleError for a lead without legs.
    """
    present = set(states)
    for state in PRECEDENCE:
        if state in present:
            return state
    raise LifecycleError("a lead without legs is in no state")
