"""Which bids on a stream answer nothing (design, Remote bidders)."""

from __future__ import annotations

from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from exchange.buyers.bid_round import Call, Round
from exchange.buyers.bid_seat import Seat
from exchange.buyers.bid_strays import Key, Strays
from exchange.core.reasons import Reason
from tests.buyers.asking import a_question, asking

MOST = 3


def key(number: int) -> Key:
    return f"p-{number}", "c-1", 1


@given(st.lists(st.tuples(st.integers(1, 4), st.booleans()), max_size=12))
def test_as_many_pings_that_are_over_as_may_be_open_are_known(
    frames: list[tuple[int, bool]],
) -> None:
    strays, over = Strays(MOST), list[Key]()
    call = Call(Round(1, lambda _: None), a_question(), 0, asking(None), cast(Seat, None), 100, 0.0)
    for answered, is_looked_at in frames:
        new = [key(len(over) + number) for number in range(answered)]
        over += new
        strays.over(new)
        if is_looked_at:
            for known in over[-MOST:]:
                strays.came(known)
            assert strays.take(call) is None
    strays.came(("p-unknown", "c-1", 1))
    read = strays.take(call)
    assert read is not None
    assert read.reason is Reason.BID_AUCTION
