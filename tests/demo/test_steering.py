"""Which leads fail and come back so that a month ends at the published rates."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.core.money import divide_half_even
from exchange.demo.steering import (
    AIMS,
    HUNDRED_DOLLARS,
    Aim,
    choose,
    crm_range,
    overall_range,
    tenths,
)

AMOUNTS = st.lists(st.integers(1, 60), max_size=8)


def sums(amounts: Sequence[int]) -> set[int]:
    chosen = (c for size in range(len(amounts) + 1) for c in combinations(amounts, size))
    return {sum(c) for c in chosen}


@given(AMOUNTS, st.integers(-20, 200), st.integers(-20, 200), st.integers(-50, 250))
def test_a_choice_is_the_nearest_sum_there_is_between_the_bounds(
    amounts: list[int], low: int, high: int, wanted: int
) -> None:
    within = [total for total in sums(amounts) if low <= total <= high]
    chosen = choose(amounts, low, high, wanted)
    if chosen is None:
        assert not within
        return
    assert len(set(chosen)) == len(chosen)
    found = sum(amounts[index] for index in chosen)
    assert found in within
    aimed = min(max(wanted, low), high)
    assert abs(found - aimed) == min(abs(total - aimed) for total in within)


@pytest.mark.parametrize("aim", AIMS, ids=lambda aim: aim.crm)
@given(assigned=st.integers(500_000, 10_000_000))
def test_whatever_lies_in_the_overall_range_gives_the_published_price(
    aim: Aim, assigned: int
) -> None:
    low, high = overall_range(aim, assigned)
    assert low <= high
    for rejected in (low, (low + high) // 2, high):
        price = divide_half_even(HUNDRED_DOLLARS * (assigned - rejected), assigned)
        assert price == aim.price_cents
        assert tenths(rejected, assigned) == aim.overall_tenths


@pytest.mark.parametrize("aim", AIMS, ids=lambda aim: aim.crm)
@given(assigned=st.integers(500_000, 10_000_000))
def test_whatever_lies_in_the_crm_range_gives_the_published_rate(aim: Aim, assigned: int) -> None:
    for failed in crm_range(aim, assigned):
        assert tenths(failed, assigned) == aim.crm_tenths
