"""How often a bidder may be asked: the breaker and the limit (rules: §7)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from exchange.core.breaker import FLOOR, PROBE_S, Breaker, full_bucket

DRAWS = st.floats(0, 1, exclude_max=True)
STEPS_S = st.floats(0, 20)


class BreakerLife(RuleBasedStateMachine):
    """A bidder that answers and fails as it pleases, asked by whoever comes."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker()
        self.now = 0.0
        self.admitted_at: float | None = None

    @rule()
    def answers(self) -> None:
        before = self.breaker.probability
        self.breaker.answered()
        assert self.breaker.probability > before or before == 1.0

    @rule()
    def fails(self) -> None:
        before = self.breaker.probability
        self.breaker.failed()
        assert self.breaker.probability < before or before == FLOOR

    @rule(step=STEPS_S, draw=DRAWS)
    def is_asked_for(self, step: float, draw: float) -> None:
        self.now += step
        rested = self.admitted_at is None or self.now - self.admitted_at >= PROBE_S
        lucky = draw < self.breaker.probability
        assert self.breaker.admits(self.now, draw) == (rested or lucky)
        if rested or lucky:
            self.admitted_at = self.now

    @invariant()
    def probability_is_between_the_floor_and_one(self) -> None:
        assert FLOOR <= self.breaker.probability <= 1.0

    @invariant()
    def the_state_follows_the_probability(self) -> None:
        probability = self.breaker.probability
        expected = "well" if probability >= 0.99 else "faltering"
        assert self.breaker.state == ("resting" if probability == FLOOR else expected)


TestBreakerLife = BreakerLife.TestCase
TestBreakerLife.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_a_bidder_that_only_fails_rests_and_is_probed_at_the_floor() -> None:
    breaker = Breaker()
    for _ in range(50):
        breaker.failed()
    assert breaker.state == "resting"
    breaker.admitted_at = 0.0
    draws = [n / 1_000 for n in range(1_000)]
    assert sum(breaker.admits(1.0, draw) for draw in draws) == FLOOR * 1_000


def test_a_rest_is_never_longer_than_the_pause_between_probes() -> None:
    breaker = Breaker(probability=FLOOR, admitted_at=100.0)
    assert not breaker.admits(100.0 + PROBE_S - 0.01, 0.99)
    assert breaker.admits(100.0 + PROBE_S, 0.99)
    assert not breaker.admits(100.0 + PROBE_S, 0.99)


def test_a_bidder_that_recovers_is_asked_every_time_again() -> None:
    breaker = Breaker(probability=FLOOR)
    answers = 0
    while breaker.probability < 1.0:
        breaker.answered()
        answers += 1
    assert answers < 40
    assert breaker.state == "well"


@pytest.mark.parametrize(
    ("one_in", "state"), [(100, "well"), (10, "well"), (2, "resting")], ids=lambda value: str(value)
)
def test_few_failures_are_forgiven_and_many_are_not(one_in: int, state: str) -> None:
    breaker = Breaker()
    for turn in range(1_000):
        if turn % one_in == 0:
            breaker.failed()
        else:
            breaker.answered()
    if state == "resting":
        assert breaker.probability < 2 * FLOOR
    else:
        assert breaker.state == state


@given(
    per_s=st.integers(1, 50),
    steps=st.lists(st.floats(0, 0.5), min_size=1, max_size=200),
)
def test_no_second_has_more_than_its_limit_and_the_burst(per_s: int, steps: list[float]) -> None:
    bucket = full_bucket(per_s, 0.0)
    now, taken = 0.0, 0
    for step in steps:
        now += step
        taken += bucket.take(now)
        assert 0.0 <= bucket.tokens <= per_s
        assert taken <= per_s + now * per_s + 1e-6


def test_a_limit_lets_through_what_it_allows() -> None:
    bucket = full_bucket(10, 0.0)
    assert sum(bucket.take(0.0) for _ in range(20)) == 10
    assert sum(bucket.take(0.5) for _ in range(20)) == 5
    assert sum(bucket.take(60.0) for _ in range(20)) == 10


def test_a_clock_that_steps_back_gives_no_tokens() -> None:
    bucket = full_bucket(1, 100.0)
    assert bucket.take(100.0)
    assert not bucket.take(50.0)
    assert not bucket.take(100.5)
    assert bucket.take(101.0)
