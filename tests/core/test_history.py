"""The standing at each day's end is recomputed from buckets (rules: §4, §5, §12)."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from hypothesis import given
from hypothesis import strategies as st

from exchange.core.changes import BucketChange
from exchange.core.history import Past, PastDay, look_back
from exchange.core.model import CompanyId, Policy
from exchange.core.standing import Standing, Verdict, Window, book, start_era, weigh, window_start
from tests.core.making import TODAY, days_ago

ROOFS = CompanyId("roofs")
POLICY = Policy()
START = days_ago(60)


def end_of(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(), UTC)


def past_of(held: Window, resets: list[datetime], first: date) -> Past:
    """What the books would give of a window: buckets since the first day's, sums of before."""
    since = window_start(first, POLICY)
    earlier: dict[int, int] = {}
    for (day, era), bucket in held.buckets.items():
        if day < since:
            earlier[era] = earlier.get(era, 0) + bucket.assigned
    return Past(
        company_id=ROOFS,
        buckets=[
            BucketChange(day, era, b.assigned, b.manual, b.crm)
            for (day, era), b in held.buckets.items()
            if day >= since
        ],
        earlier=earlier,
        resets=resets,
    )


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 60),
        st.sampled_from(["clean", "crm", "manual", "reset"]),
        st.integers(1, 300_000),
    ),
    max_size=40,
)


@given(EVENTS, st.integers(0, 60), st.integers(0, 60))
def test_section_12_each_day_is_as_it_stood_when_it_ended(
    events: list[tuple[int, str, int]], a: int, b: int
) -> None:
    first, last = START + timedelta(days=min(a, b)), START + timedelta(days=max(a, b))
    held, resets = Window(company_id=ROOFS), list[datetime]()
    stood: dict[date, Standing] = {}
    by_day: dict[int, list[tuple[str, int]]] = {}
    for at, kind, cents in events:
        by_day.setdefault(at, []).append((kind, cents))
    for at in range(61):
        day = START + timedelta(days=at)
        for nth, (kind, cents) in enumerate(by_day.get(at, [])):
            if kind == "reset":
                resets.append(datetime.combine(day, time(12, 0, nth), UTC))
                held = start_era(held, resets[-1])
            else:
                rejected = {kind: cents} if kind != "clean" else {}
                held = book(held, day, held.era, assigned=cents, **rejected)
        stood[day] = weigh(held, day, POLICY)
    told = list(look_back(past_of(held, resets, first), first, last, POLICY, end_of))
    assert [day.standing for day in told] == [
        stood[first + timedelta(days=n)] for n in range((last - first).days + 1)
    ]


def test_section_4_a_later_return_is_told_on_the_day_its_lead_was_assigned() -> None:
    held = book(Window(company_id=ROOFS), days_ago(5), 0, assigned=1_000_00)
    before = _told(held, days_ago(5))
    assert before.standing.verdict is Verdict.QUALIFIED
    held = book(held, days_ago(5), 0, manual=100_00)
    after = _told(held, days_ago(5))
    assert after.standing.overall_hundredths == 1_000 and after.bought.manual == 100_00


def test_a_day_without_leads_has_a_standing_too() -> None:
    held = book(Window(company_id=ROOFS), days_ago(29), 0, assigned=1_000_00, manual=85_00)
    assert _told(held, TODAY).standing.overall_hundredths == 850
    assert _told(held, TODAY).bought.assigned == 0
    assert _told(held, TODAY + timedelta(days=1)).standing.overall_hundredths == 0


def _told(held: Window, day: date) -> PastDay:
    (told,) = look_back(past_of(held, [], day), day, day, POLICY, end_of)
    return told
