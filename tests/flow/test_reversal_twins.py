"""A rejection that was reversed or declined is as if it had never been (rules: §4, §8).

Two companies live one story, one of them without the rejections that come to nothing. In the end
windows, ledger, sales, standing and price are the same, in the books and on every worker.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Literal

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from bidders.crm import Behaviour, crm_server
from exchange.core.model import CompanyId, LeadId, Policy
from exchange.core.reasons import Reason
from exchange.core.standing import Bucket, Window, window_start
from exchange.embedded import StoreUrls
from exchange.flow.faults import Conflict
from exchange.flow.returning import Statement
from tests.databases import fresh_database
from tests.flow.market import Buyer, Desk, buyer, open_desk, until

POLICY = Policy(
    # Charged what is bid, and never shut out: so that both are sold the same leads, whatever the
    # rejections do meanwhile to the rates of the one.
    rectify="rank_only",
    crm_threshold_bp=10_000,
    protection_cents=0,
    reset_interval_days=0,
)
Fate = Literal["stands", "approved", "waits", "declined", "overturned", "reversed"]
UNDONE: tuple[Fate, ...] = ("declined", "overturned", "reversed")
REVIEWED: tuple[Fate, ...] = ("approved", "waits", "declined")


class Sell(Struct, frozen=True):
    """A lead is sold; perhaps returned some steps later, and what becomes of that after more."""

    cents: int
    fate: Fate | None
    returned_after: int
    decided_after: int


class Fail(Struct, frozen=True):
    """A lead's delivery fails for good; its CRM rejection may be reversed some steps later."""

    cents: int
    reversed_after: int | None


class Wait(Struct, frozen=True):
    """Time passes, and windows close."""

    hours: int


class Reset(Struct, frozen=True):
    """A CRM reset."""


Step = Sell | Fail | Wait | Reset
cents = st.sampled_from((20_01, 33_33, 100_00, 499_99))
later = st.integers(0, 4)
STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(
        Sell,
        cents,
        st.none() | st.sampled_from((*UNDONE, *UNDONE, "stands", "approved", "waits")),
        later,
        later,
    ),
    st.builds(Fail, cents, st.none() | later),
    st.builds(Wait, st.sampled_from((1, 13, 25, 24 * 3))),
    st.just(Reset()),
)


class Told(Struct, frozen=True):
    """All of a company that a rejection could touch."""

    window: tuple[object, ...]
    ledger: dict[str, int]
    sales: list[tuple[object, ...]]
    standing: object
    price: int


class Twin:
    """A company that lives the story, with or without what comes to nothing."""

    def __init__(self, desks: Sequence[Desk], one: Buyer, broken: str, *, spared: bool) -> None:
        self.desks = desks
        self.one = one
        self.spared = spared
        self._broken = broken
        self.happened: set[str] = set()
        self._due: list[tuple[int, Callable[[], Awaitable[None]]]] = []
        self._now = 0

    @property
    def desk(self) -> Desk:
        return self.desks[self._now % len(self.desks)]

    async def live(self, steps: Sequence[Step]) -> None:
        """Live some steps; what is due comes in between."""
        # Enough that stays, so that no price falls to nothing.
        await self.one.buy(10_000_00)
        for step in steps:
            match step:
                case Sell(cents=cents, fate=fate):
                    lead = await self.one.buy(cents)
                    if fate is not None and not (self.spared and fate in UNDONE):
                        self._in(step.returned_after, partial(self._return, step, lead))
                case Fail(reversed_after=after) if not (self.spared and after is not None):
                    rejection_id = await self._fail(step.cents)
                    if after is not None:
                        self._in(after, partial(self._reverse, rejection_id))
                case Reset():
                    registry, now = self.desk.exchange.registry, self.desk.clock.now()
                    asked = await registry.ask_reset(self.one.company_id, now)
                    await registry.approve_reset(asked.reset_id, now)
                case Wait(hours=hours):
                    self.desk.clock.forward(hours=hours)
                    await self.desk.exchange.books.close_windows(self.desk.clock.now(), 1_000)
                case _:
                    pass
            await self._pass()
        while self._due:
            await self._pass()

    async def _fail(self, cents: int) -> str:
        """Have a delivery fail; gives its rejection, which is the only new one."""
        before = await self._failed()
        await self.one.fail(cents, self._broken)
        (rejection_id,) = await self._failed() - before
        return rejection_id

    async def _failed(self) -> set[str]:
        rows = await self.desk.rows(
            "select id from rejection where company_id = $1 and kind = 'crm'", self.one.company_id
        )
        return {row["id"] for row in rows}

    def _in(self, steps: int, what: Callable[[], Awaitable[None]]) -> None:
        self._due.append((self._now + steps, what))

    async def _pass(self) -> None:
        """End a step: do what is due."""
        due = [what for at, what in self._due if at <= self._now]
        self._due = [(at, what) for at, what in self._due if at > self._now]
        for what in due:
            await what()
        self._now += 1

    async def _return(self, step: Sell, lead: LeadId) -> None:
        exchange, is_reviewed = self.desk.exchange, step.fate in REVIEWED
        try:
            rejected, _ = await exchange.reject(
                self.one.company_id,
                lead,
                reason_code=None if is_reviewed else "seasonal",
                text="hm" if is_reviewed else None,
                note=None,
                review=is_reviewed,
            )
        except Conflict:
            self.happened.add("too late")
            return
        if step.fate not in ("stands", "waits"):
            self._in(step.decided_after, partial(self._decide, step.fate, rejected.rejection_id))

    async def _decide(self, fate: Fate | None, rejection_id: str) -> None:
        returning = self.desk.exchange.returning
        if fate in ("approved", "declined"):
            approved = fate == "approved"
            await returning.decide_review(
                rejection_id,
                approved=approved,
                reason=Reason.SEASONAL if approved else None,
                sentence="So it is.",
            )
        elif fate == "overturned":
            said = Statement(statement="She answered.")
            try:
                found = await returning.dispute(rejection_id, self.one.seller_id, said)
            except Conflict:
                await self._reverse(rejection_id)
                return
            assert found.dispute is not None
            await returning.decide_dispute(
                found.dispute.dispute_id, overturned=True, sentence="She did."
            )
        else:
            await self._reverse(rejection_id)
        self.happened.add(str(fate))

    async def _reverse(self, rejection_id: str) -> None:
        await self.desk.exchange.returning.reverse(rejection_id, "Our own fault.")

    async def tell(self) -> Told:
        """Everything, from the books; the markets of both workers must hold the same."""
        desk, company_id = self.desks[0], self.one.company_id
        window = await desk.exchange.registry.window(company_id, desk.clock.now())
        assert window is not None
        await until(lambda: all(self._held(each) == _figures(window, each) for each in self.desks))
        await self.one.bid(100_00)
        receipt = await desk.ping(self.one.seller_id, zip=self.one._zip)
        assert receipt.offer is not None
        standing = await self.one.standing()
        return Told(
            window=_figures(window, desk),
            ledger=await self._ledger(),
            sales=[
                tuple(row)
                for row in await desk.rows(
                    "select s.charged, s.state, leg.state, lead.state from sale s"
                    " join leg using (lead_id, leg) join lead on lead.id = s.lead_id"
                    " where company_id = $1 order by s.sold_at, s.charged, s.state",
                    company_id,
                )
            ],
            standing=replace(standing, company_id=CompanyId("")),
            price=receipt.offer.ranks[0].rectified_cents,
        )

    def _held(self, desk: Desk) -> tuple[object, ...]:
        return _figures(desk.exchange.market.companies[self.one.company_id].window, desk)

    async def _ledger(self) -> dict[str, int]:
        rows = await self.desk.rows(
            "select account, sum(cents)::bigint as cents from ledger_entry"
            " where account = any($1) group by account",
            [f"company:{self.one.company_id}", f"seller:{self.one.seller_id}"],
        )
        return {row["account"].partition(":")[0]: row["cents"] for row in rows}


def _figures(window: Window, desk: Desk) -> tuple[object, ...]:
    first = window_start(desk.clock.now().date(), POLICY)
    held = {
        key: bucket
        for key, bucket in window.buckets.items()
        if key[0] >= first and bucket != Bucket()
    }
    return window.era, window.era_assigned, window.reset_at, held


class Stage:
    """Where twins live, one story after the other."""

    def __init__(self, desks: Sequence[Desk], broken: str) -> None:
        self.desks = desks
        self._broken = broken
        self._count = 0
        self.happened: set[str] = set()

    async def live(self, steps: Sequence[Step]) -> tuple[Told, Told]:
        """Both live at the same times, one after the other."""
        clock = self.desks[0].clock
        clock.forward(days=40)
        started, told = clock.now(), []
        twins = []
        for spared in (False, True):
            self._count += 1
            seller = await self.desks[0].seller()
            one = await buyer(self.desks[0], seller, f"{20_000 + self._count}")
            twins.append(Twin(self.desks, one, self._broken, spared=spared))
        for twin in twins:
            clock.time = started
            await twin.live(steps)
        await self.desks[0].exchange.books.close_windows(clock.now(), 1_000)
        for twin in twins:
            told.append(await twin.tell())
        self.happened = twins[0].happened
        return told[0], told[1]


@pytest.fixture(scope="module")
async def stage(stores: StoreUrls) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(fresh_database(stores))
        crm = await stack.enter_async_context(crm_server(seed=7, behaviours={}))
        first = await stack.enter_async_context(open_desk(stores, url, policy=POLICY))
        second = await stack.enter_async_context(
            open_desk(stores, url, policy=POLICY, clock=first.clock)
        )
        yield Stage((first, second), crm.set_behaviour("broken", Behaviour(fail_rate=1.0)))


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(STEPS, min_size=3, max_size=8))
async def test_section_8_what_was_undone_is_as_if_it_had_never_been(
    stage: Stage, steps: list[Step]
) -> None:
    told, spared = await stage.live(steps)
    for what in stage.happened:
        event(what)
    assert told == spared
    await stage.desks[0].assert_clean()


async def test_section_8_every_fate_in_one_story_is_undone_too(stage: Stage) -> None:
    fates: tuple[Fate, ...] = (*UNDONE, "stands", "approved", "waits")
    told, spared = await stage.live(
        [
            *(Sell(100_00 + n, fate, n % 2, 3) for n, fate in enumerate(fates)),
            *(Fail(250_00, 2), Fail(33_33, None), Wait(13)),
            *(Reset(), Fail(99_99, 3), Sell(70_01, "reversed", 0, 4), Wait(25), Wait(24)),
        ]
    )
    assert told == spared
    assert stage.happened >= {"declined", "overturned", "reversed", "approved"}
    assert {state for _, state, *_ in told.sales} >= {"final", "rejected"}
    await stage.desks[0].assert_clean()
