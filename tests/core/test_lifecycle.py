"""A lead is always in exactly one state of one table (rules: §2)."""

from collections.abc import Iterable
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.core.lifecycle import (
    DONE,
    TRANSITIONS,
    Event,
    LifecycleError,
    State,
    advance,
    combine,
)

RULES = """
received    claimed           delivering
received    no_rank_left      unsold
received    limit_passed      timed_out
received    found_invalid     invalid
delivering  accepted          sold
delivering  next_rank         delivering
delivering  no_rank_left      unsold
delivering  limit_passed      timed_out
delivering  found_invalid     invalid
sold        company_rejected  rejected
sold        review_asked      in_review
in_review   review_approved   rejected
in_review   review_declined   sold
rejected    rejection_reversed sold
sold        window_closed     final
"""
TABLE = {
    (State(state), Event(event)): State(end)
    for state, event, end in (line.split() for line in RULES.split("\n") if line)
}
PAIRS = list(product(State, Event))


@pytest.mark.parametrize(("state", "event"), PAIRS, ids=[f"{s}-{e}" for s, e in PAIRS])
def test_a_pair_is_in_the_table_or_refused(state: State, event: Event) -> None:
    if (state, event) in TABLE:
        assert advance(state, event) is TABLE[state, event]
    else:
        with pytest.raises(LifecycleError):
            advance(state, event)


@given(st.lists(st.sampled_from(Event), max_size=20))
def test_no_walk_leaves_the_table(events: list[Event]) -> None:
    state, sales = State.RECEIVED, 0
    for event in events:
        try:
            state = advance(state, event)
        except LifecycleError:
            continue
        sales += event is Event.ACCEPTED
        assert state in State
    assert sales <= 1


@pytest.mark.parametrize("state", State)
def test_every_state_can_be_reached(state: State) -> None:
    reached = {State.RECEIVED}
    for _ in State:
        reached |= {end for (start, _event), end in TRANSITIONS.items() if start in reached}
    assert state in reached


@pytest.mark.parametrize("state", sorted(DONE))
def test_nothing_is_delivered_from_a_state_that_is_done(state: State) -> None:
    ends = {end for (start, _event), end in TRANSITIONS.items() if start is state}
    assert ends.isdisjoint({State.DELIVERING, State.RECEIVED})


@pytest.mark.parametrize("state", sorted(DONE))
def test_a_sale_that_is_restored_was_one_before(state: State) -> None:
    restoring = {event for (start, event), end in TABLE.items() if (start, end) == (state, "sold")}
    assert restoring <= {Event.REVIEW_DECLINED, Event.REJECTION_REVERSED}


@pytest.mark.parametrize(
    ("legs", "whole"),
    [
        pytest.param(["sold"], "sold", id="one leg"),
        pytest.param(["sold", "delivering"], "delivering", id="a leg on its way"),
        pytest.param(["sold", "unsold"], "sold", id="sold in part"),
        pytest.param(["rejected", "sold"], "sold", id="one of two sent back"),
        pytest.param(["final", "sold"], "sold", id="one may still be sent back"),
        pytest.param(["final", "in_review"], "in_review", id="one waits for its review"),
        pytest.param(["rejected", "final"], "final", id="one sent back, one kept"),
        pytest.param(["unsold", "unsold"], "unsold", id="nobody"),
        pytest.param(["unsold", "timed_out"], "timed_out", id="out of time"),
    ],
)
def test_a_shared_lead_is_in_the_most_alive_state_of_its_legs(
    legs: Iterable[str], whole: str
) -> None:
    assert combine(State(leg) for leg in legs) is State(whole)


@given(st.lists(st.sampled_from(State), min_size=1))
def test_legs_in_any_states_make_one_of_them(legs: list[State]) -> None:
    assert combine(legs) in legs


def test_a_lead_without_legs_is_in_no_state() -> None:
    with pytest.raises(LifecycleError):
        combine([])
