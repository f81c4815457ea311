"""Whatever happens in whatever order: pure core = Valkey = PostgreSQL, to the cent (rules: §2–§8).

Hypothesis writes a story of a market; two workers live it on real stores, and a model that knows
nothing but the pure core lives it beside them. After every step the three are compared.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack
from datetime import date
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from msgspec import Struct

from bidders.crm import Behaviour, CrmServer, crm_server
from exchange.core.cascade import Turn, next_assignments, why_unsold
from exchange.core.lifecycle import TRANSITIONS, State, combine
from exchange.core.model import CampaignId, Cap, CompanyId, Condition, LeadId, Policy, SellerId
from exchange.core.pricing import rectify, seller_price
from exchange.core.reset import judge_reset
from exchange.core.standing import Bucket, Verdict, Window, book, start_era, weigh, window_start
from exchange.embedded import StoreUrls
from exchange.flow.faults import Conflict, Gone
from exchange.flow.ports import PostRequest, PostResult, Receipt, Rejected
from exchange.stores.redis_mirror import Head
from tests.databases import fresh_database
from tests.flow.market import Desk, http, open_desk, until

POLICY = Policy(protection_cents=1_000_00, reset_interval_days=3)
COMPANIES = 3
BALANCE = 3_000_00
"""What the first company has paid in advance; the others are on account."""

Manner = Literal["accepts", "refuses", "fails", "vanishes"]
MANNERS: dict[Manner, Behaviour] = {
    "accepts": Behaviour(),
    "refuses": Behaviour(refuse_rate=1.0),
    "fails": Behaviour(fail_rate=1.0),
    "vanishes": Behaviour(fail_rate=1.0, failure="reset"),
}
"""How a company's system treats every lead; one that vanishes took it and never answered."""


# --- a story --------------------------------------------------------------------------------------


class Sell(Struct, frozen=True):
    """Ping for so many buyers, and post."""

    buyers: int


class PingOnly(Struct, frozen=True):
    """Ping, and post later or never."""

    buyers: int


class PostLater(Struct, frozen=True):
    """Post one of the pings so far, counted from the last, posted before or not."""

    which: int


class Behave(Struct, frozen=True):
    """A company's system changes its manner."""

    company: int
    manner: Manner


class Save(Struct, frozen=True):
    """A company saves its campaign at another price and with another cap of leads a day."""

    company: int
    cents: int
    leads: int | None


class Return(Struct, frozen=True):
    """Reject one of the leads sold so far, counted from the last, returned before or not."""

    which: int


class Reset(Struct, frozen=True):
    """A company asks for a CRM reset, and the operator approves."""

    company: int


class Wait(Struct, frozen=True):
    """Time passes; windows close."""

    hours: int


Step = Sell | PingOnly | PostLater | Behave | Save | Return | Reset | Wait

company = st.integers(0, COMPANIES - 1)
buyers = st.sampled_from((1, 1, 1, 2))
cents = st.sampled_from((9_99, 33_33, 100_00, 250_00, 499_99, 1_200_00))
which = st.integers(0, 3)
hours = st.sampled_from((1, 12, 24, 47, 48, 24 * 29))
sells = st.builds(Sell, buyers)
behaves = st.builds(Behave, company, st.sampled_from(list(MANNERS)))
# Scenes rather than steps: what takes several steps in order would hardly ever happen by chance.
SCENES: st.SearchStrategy[Sequence[Step]] = st.one_of(
    st.lists(sells, min_size=1, max_size=4),
    st.tuples(behaves, sells),
    st.tuples(st.builds(PingOnly, buyers), st.builds(PingOnly, buyers), sells),
    st.tuples(st.builds(PostLater, which)),
    st.tuples(
        st.builds(Save, company, cents, st.none() | st.integers(1, 2)),
        st.builds(PingOnly, buyers),
    ),
    st.lists(st.builds(Return, which), min_size=1, max_size=3),
    st.tuples(st.builds(Reset, company)),
    st.tuples(st.builds(Wait, hours)),
)


# --- the model ------------------------------------------------------------------------------------


class Company:
    """A company as the pure core has it."""

    def __init__(self, company_id: CompanyId, available: int | None) -> None:
        self.company_id = company_id
        self.window = Window(company_id=company_id)
        self.available = available
        self.manner: Manner = "accepts"
        self.cents = 100_00
        self.cap: int | None = None
        self.bought_on: Counter[date] = Counter()
        self.campaign_id = CampaignId("")

    def has_room(self, cents: int, today: date) -> bool:
        if self.available is not None and self.available < cents:
            return False
        return self.cap is None or self.bought_on[today] < self.cap


class Sold(Struct, kw_only=True):
    """A leg as the model sold it."""

    lead_id: LeadId
    company: Company
    charged: int
    seller: int
    day: date
    era: int
    closes_at: Any
    answer: Rejected | None = None


class Told(Struct, kw_only=True):
    """A ping that was offered, and what its post was answered, once it was."""

    receipt: Receipt
    request: PostRequest
    answer: PostResult | None = None


# --- both together --------------------------------------------------------------------------------


class Story:
    """One market, lived twice."""

    def __init__(self, desks: Sequence[Desk], crm: CrmServer, seller: SellerId, zip: str) -> None:
        self.desks = desks
        self.crm = crm
        self.seller = seller
        self.zip = zip
        self.companies: list[Company] = []
        self.sold: list[Sold] = []
        self.pings: list[Told] = []
        self.ledger: Counter[str] = Counter()
        self.states: dict[tuple[str, int], State] = {}
        self.happened: Counter[str] = Counter()
        self._turn = 0

    @property
    def desk(self) -> Desk:
        """The worker whose turn it is."""
        return self.desks[self._turn % len(self.desks)]

    @property
    def today(self) -> date:
        return self.desk.clock.now().date()

    async def open(self) -> None:
        for place in range(COMPANIES):
            balance = BALANCE if place == 0 else None
            company_id = await self.desk.company(f"Company {place}", prepaid=balance)
            one = Company(company_id, balance)
            if balance:
                self.ledger[f"company:{company_id}"] += balance
            self.companies.append(one)
            self.crm.set_behaviour(self._sink(place), MANNERS["accepts"])
            await self._save(place)
        await self.agree()

    async def live(self, step: Step) -> None:
        """Take a step on the worker whose turn it is, and in the model; then compare."""
        match step:
            case Sell(buyers=buyers):
                await self._ping(buyers)
                if self.pings and self.pings[-1].answer is None:
                    await self._post(self.pings[-1])
            case PingOnly(buyers=buyers):
                await self._ping(buyers)
            case PostLater(which=which) if self.pings:
                await self._post(self.pings[-1 - which % len(self.pings)])
            case Behave(company=company, manner=manner):
                self.companies[company].manner = manner
                self.crm.set_behaviour(self._sink(company), MANNERS[manner])
            case Save(company=company, cents=cents, leads=leads):
                self.companies[company].cents = cents
                self.companies[company].cap = leads
                await self._save(company)
            case Return(which=which) if self.sold:
                await self._return(self.sold[-1 - which % len(self.sold)])
            case Reset(company=company):
                await self._reset(self.companies[company])
            case Wait(hours=hours):
                self.desk.clock.forward(hours=hours)
                await self.desk.exchange.books.close_windows(self.desk.clock.now(), 1_000)
            case _:
                pass
        await self.agree()
        self._turn += 1

    def _sink(self, place: int) -> str:
        return f"company-{place}-of-{self.zip}"

    async def _save(self, place: int) -> None:
        one = self.companies[place]
        one.campaign_id = await self.desk.campaign(
            one.company_id,
            one.cents,
            shared={2: one.cents * 6 // 10},
            caps=() if one.cap is None else (Cap(period="day", leads=one.cap),),
            delivery=(http(self.crm.leads_url(self._sink(place))),),
            filter=Condition(field="zip", op="=", value=self.zip),
            campaign_id=one.campaign_id or None,
        )

    async def _ping(self, buyers: int) -> None:
        receipt = await self.desk.ping(self.seller, max_buyers=buyers, zip=self.zip)
        by_id = {one.company_id: one for one in self.companies}
        for candidate in receipt.candidates:
            one = by_id.get(candidate.company_id)
            if one is None:
                continue  # of another story
            standing = weigh(one.window, self.today, POLICY)
            if standing.verdict is Verdict.EXCLUDED:
                assert candidate.outcome == "no_bid"
                self.happened["excluded"] += 1
            if candidate.base_cents is not None:
                assert candidate.rectified_cents == rectify(candidate.base_cents, standing)
                assert candidate.base_cents == (
                    one.cents if candidate.share == 1 else one.cents * 6 // 10
                )
        if receipt.offer is not None:
            prices = [ranked.rectified_cents for ranked in receipt.offer.ranks]
            assert prices == sorted(prices, reverse=True)
            assert receipt.legs_cents == tuple(
                seller_price(ranked.charged_cents, POLICY.take_rate_bp)
                for ranked in receipt.offer.ranks[: len(receipt.legs_cents)]
            )
            self.pings.append(Told(receipt=receipt, request=self.desk.post_request(receipt)))

    async def _post(self, told: Told) -> None:
        assert told.receipt.expires_at is not None
        if told.answer is not None:
            assert await self.desk.exchange.post(told.request) == told.answer
            self.happened["posted again"] += 1
            return
        if self.desk.clock.now() >= told.receipt.expires_at:
            with pytest.raises(Gone):
                await self.desk.exchange.post(told.request)
            self.happened["offer expired"] += 1
            return
        told.answer = await self.desk.exchange.post(told.request)
        self._expect(told.receipt, told.answer)

    def _expect(self, receipt: Receipt, answer: PostResult) -> None:
        """Take the lead down the ranks in the model; the answer must be what comes of it."""
        offer = receipt.offer
        assert offer is not None
        by_id = {one.company_id: one for one in self.companies}
        turns: list[Turn] = []
        sold: dict[int, int] = {}
        while assignments := next_assignments(offer, turns, POLICY):
            for assigned in assignments:
                one, charged = by_id[assigned.ranked.company_id], assigned.ranked.charged_cents
                result = self._treat(one, charged)
                turns.append(Turn(leg=assigned.leg, place=assigned.place, result=result))
                self.happened[result] += 1
                if result == "accepted":
                    sold[assigned.leg] = assigned.seller_cents
                    self._sell(answer.lead_id, one, charged, assigned.seller_cents)
        assert [leg.price_cents for leg in answer.legs] == [
            sold.get(leg) for leg in range(len(offer.legs_cents))
        ]
        assert answer.status == ("sold" if sold else "unsold")
        if not sold:
            assert answer.reason is why_unsold([turn for turn in turns if turn.leg == 0])

    def _treat(
        self, one: Company, charged: int
    ) -> Literal["accepted", "refused", "failed", "unclear", "no_room"]:
        verdict = weigh(one.window, self.today, POLICY).verdict
        if verdict is Verdict.EXCLUDED or not one.has_room(charged, self.today):
            return "no_room"
        if one.manner == "refuses":
            return "refused"
        crm = 0 if one.manner == "accepts" else charged
        one.window = book(one.window, self.today, one.window.era, assigned=charged, crm=crm)
        if one.manner == "accepts":
            return "accepted"
        return "failed" if one.manner == "fails" else "unclear"

    def _sell(self, lead_id: LeadId, one: Company, charged: int, seller: int) -> None:
        now = self.desk.clock.now()
        one.bought_on[self.today] += 1
        if one.available is not None:
            one.available -= charged
        self._enter(one, -charged, seller)
        self.sold.append(
            Sold(
                lead_id=lead_id,
                company=one,
                charged=charged,
                seller=seller,
                day=self.today,
                era=one.window.era,
                closes_at=now.timestamp() + POLICY.rejection_window_s,
            )
        )

    def _enter(self, one: Company, company: int, seller: int) -> None:
        self.ledger[f"company:{one.company_id}"] += company
        self.ledger[f"seller:{self.seller}"] += seller

    async def _return(self, sold: Sold) -> None:
        one = sold.company
        if sold.answer is not None:
            again, _ = await self.desk.reject(one.company_id, sold.lead_id)
            assert again == msgspec.structs.replace(sold.answer, is_repeat=True)
            self.happened["returned again"] += 1
            return
        if self.desk.clock.now().timestamp() >= sold.closes_at:
            with pytest.raises(Conflict):
                await self.desk.reject(one.company_id, sold.lead_id)
            self.happened["returned too late"] += 1
            return
        self.happened["returned"] += 1
        sold.answer, standing = await self.desk.reject(one.company_id, sold.lead_id)
        one.window = book(one.window, sold.day, sold.era, manual=sold.charged)
        if one.available is not None:
            one.available += sold.charged
        self._enter(one, sold.charged, -sold.seller)
        assert standing == weigh(one.window, self.today, POLICY)

    async def _reset(self, one: Company) -> None:
        registry, now = self.desk.exchange.registry, self.desk.clock.now()
        if judge_reset(one.window, now, POLICY) is not None:
            with pytest.raises(Conflict):
                await registry.ask_reset(one.company_id, now)
            self.happened["reset refused"] += 1
            return
        self.happened["reset"] += 1
        asked = await registry.ask_reset(one.company_id, now)
        await registry.approve_reset(asked.reset_id, now)
        one.window = start_era(one.window, now)

    # --- comparing ---

    async def agree(self) -> None:
        """The model, the books, the fast store and both workers' markets must be one."""
        await asyncio.gather(
            *(self._agree_books(one) for one in self.companies),
            *(self._agree_mirror(one) for one in self.companies),
            self._agree_ledger(),
            self._agree_states(),
        )
        await until(lambda: all(self._is_heard(one) for one in self.companies))

    async def _agree_books(self, one: Company) -> None:
        now = self.desk.clock.now()
        books = await self.desk.exchange.registry.window(one.company_id, now)
        assert books is not None and self._held(books) == self._held(one.window)

    def _held(self, window: Window) -> tuple[object, ...]:
        first = window_start(self.today, POLICY)
        buckets = {
            key: bucket
            for key, bucket in window.buckets.items()
            if key[0] >= first and bucket != Bucket()
        }
        return window.era, window.era_assigned, window.reset_at, buckets

    async def _agree_mirror(self, one: Company) -> None:
        first = window_start(self.today, POLICY)
        fields = await self.desk.exchange.mirror.read(one.company_id)
        head = msgspec.json.decode(fields["head"], type=Head)
        assert head == Head(
            active=True,
            era=one.window.era,
            era_assigned=one.window.era_assigned,
            available_cents=one.available,
        )
        held = {
            name: figures
            for name, figures in fields.items()
            if name.count("|") == 1 and date.fromisoformat(name.partition("|")[0]) >= first
        }
        assert held == {
            f"{day}|{era}": f"{bucket.assigned}|{bucket.manual}|{bucket.crm}"
            for (day, era), bucket in one.window.buckets.items()
            if day >= first
        }
        if one.cap is not None:
            used = [figures for name, figures in fields.items() if f"|day|{self.today}T" in name]
            expected = one.bought_on[self.today]
            assert [int(figures.partition("|")[0]) for figures in used] in ([expected], [])
            assert used or expected == 0

    def _is_heard(self, one: Company) -> bool:
        """Whether both workers' markets hold of a company what the model holds."""
        expected = self._held(one.window)
        for desk in self.desks:
            known = desk.exchange.market.companies.get(one.company_id)
            if known is None or self._held(known.window) != expected:
                return False
            if known.available_cents != one.available:
                return False
            campaign = desk.exchange.market.campaign(one.campaign_id)
            if campaign is None or campaign.bid.exclusive_cents != one.cents:
                return False
            if campaign.caps != (() if one.cap is None else (Cap(period="day", leads=one.cap),)):
                return False
        return True

    async def _agree_ledger(self) -> None:
        rows = await self.desk.rows(
            "select account, sum(cents)::bigint as cents from ledger_entry"
            " where account = any($1) group by account",
            [f"seller:{self.seller}", *(f"company:{one.company_id}" for one in self.companies)],
        )
        entered = {row["account"]: row["cents"] for row in rows if row["cents"]}
        assert entered == {account: cents for account, cents in self.ledger.items() if cents}

    async def _agree_states(self) -> None:
        """Every leg has only gone where the table leads, and its lead is where its legs are."""
        rows = await self.desk.rows(
            "select lead_id, leg, leg.state, lead.state as lead_state from leg"
            " join lead on lead.id = lead_id where seller_id = $1",
            self.seller,
        )
        legs: dict[str, list[State]] = {}
        for row in rows:
            name, state = (row["lead_id"], row["leg"]), State(row["state"])
            assert state in REACHABLE[self.states.get(name, State.RECEIVED)]
            self.states[name] = state
            legs.setdefault(row["lead_id"], []).append(state)
        for row in rows:
            assert combine(legs[row["lead_id"]]) is State(row["lead_state"])


def reach(start: State) -> frozenset[State]:
    """Every state the lifecycle table leads to, this one included."""
    found = {start}
    while True:
        further = {to for (state, _), to in TRANSITIONS.items() if state in found} - found
        if not further:
            return frozenset(found)
        found |= further


REACHABLE = {state: reach(state) for state in State}


# --- the test -------------------------------------------------------------------------------------


class Stage:
    """Where stories are lived: two workers on one pair of stores, one story after the other."""

    def __init__(self, desks: Sequence[Desk], crm: CrmServer) -> None:
        self._desks = desks
        self._crm = crm
        self._stories = 0

    async def live(self, steps: Iterable[Step], *, alone: bool = False) -> Story:
        """Live a story; ``alone`` among its own campaigns, so that receipts spell out each."""
        # Further on than any window reaches back, and never back in time.
        self._desks[0].clock.forward(days=40)
        if alone:
            for runner in list(self._desks[0].exchange.market.runners("solar")):
                campaign = runner.campaign
                assert await self._desks[0].exchange.registry.delete_campaign(
                    campaign.campaign_id, campaign.company_id, self._desks[0].clock.now()
                )
            await until(lambda: not list(self._desks[1].exchange.market.runners("solar")))
        self._stories += 1
        seller = await self._desks[0].seller()
        story = Story(self._desks, self._crm, seller, f"{10_000 + self._stories}")
        await story.open()
        for step in steps:
            await story.live(step)
        await story.desk.assert_clean()
        return story


@pytest.fixture(scope="module")
async def stage(stores: StoreUrls) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(fresh_database(stores))
        crm = await stack.enter_async_context(crm_server(seed=7, behaviours={}))
        first = await stack.enter_async_context(open_desk(stores, url, policy=POLICY))
        second = await stack.enter_async_context(
            open_desk(stores, url, policy=POLICY, clock=first.clock)
        )
        yield Stage((first, second), crm)


@pytest.mark.slow
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scenes=st.lists(SCENES, min_size=8, max_size=24))
async def test_whatever_happens_core_and_valkey_and_postgres_agree_to_the_cent(
    stage: Stage, scenes: list[Sequence[Step]]
) -> None:
    story = await stage.live(step for scene in scenes for step in scene)
    for what in story.happened:
        event(what)


async def test_a_story_through_every_rule_agrees_too(stage: Stage) -> None:
    story = await stage.live(
        [
            *(Save(0, 250_00, None), Save(1, 100_00, None), Save(2, 33_33, None)),
            *[Sell(1)] * 5,
            *(Return(0), Return(0)),
            # Company 0 is out of protection: a failure takes it over the gate.
            *(Behave(0, "fails"), Sell(1), Sell(1)),
            *(Behave(1, "vanishes"), Sell(1), Sell(2)),
            *(Reset(0), Reset(0), Behave(0, "accepts")),
            # One lead a day: of two offers only one finds room.
            *(Save(0, 250_00, 1), Sell(1), Wait(24), PingOnly(1), Sell(1), PostLater(1)),
            *(PostLater(0), Behave(1, "refuses"), Sell(1), Sell(2)),
            *(PingOnly(1), Wait(1), PostLater(0)),
            *(Wait(48), Return(0), Wait(24 * 29), Sell(1)),
        ],
        alone=True,
    )
    assert set(story.happened) == {
        "accepted",
        "refused",
        "failed",
        "unclear",
        "no_room",
        "posted again",
        "offer expired",
        "returned",
        "returned again",
        "returned too late",
        "reset",
        "reset refused",
        "excluded",
    }
