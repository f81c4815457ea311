"""The days of the demo's month: how many leads, whose systems fail, what the companies return.

The people steer by their real figures, as the exchange shows them; the exchange alone computes.
The third company stays below the end of its protection until the last lead of the month.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec import Struct

from exchange.core.standing import Standing
from exchange.demo.consumers import Consumers
from exchange.demo.crms import CrmControl
from exchange.demo.faults import DemoFailed
from exchange.demo.people import DemoCompany, DemoSeller, Offered
from exchange.demo.report import Teller
from exchange.demo.stage import MovedClock
from exchange.demo.steering import AIMS, Aim, choose, crm_range, overall_range
from exchange.flow.registry import DeliveredLead

START: Final = datetime(2026, 11, 1, tzinfo=UTC)
DAYS: Final = 30
"""As many as the window has: at the end every lead of the month still counts."""

LAST_DAY: Final = DAYS - 1

LEADS_A_DAY: Final = {"california": 22, "southwest": 14, "mountain": 3}
"""The gulf's are as many as the third company needs."""

OUTAGE_CENTS: Final = 150_00
"""A system is down for some leads in a row, not for one now and then."""

HELD_BACK_CENTS: Final = 260_00
"""Left for the last day to fail and to return: leads enough to make nearly every sum of."""

GROWTH_CENTS: Final = 4_100_00
GROWTH_POWER: Final = 1.5
"""The third company is assigned so much before the last day, the more the later: it is growing."""

FINAL_CENTS: Final = 5_018_00
"""About what it is assigned at the end, a little above the end of its protection."""

WAITING_CENTS: Final = (4_945_00, 4_990_00)
"""Between these it waits for its last lead, so that one of its usual price lifts it over."""

USUAL_CENTS: Final = 46_00
TRIES: Final = 60
"""Pings at most until a lead of the wanted kind comes."""


class Edge(Struct, frozen=True, kw_only=True):
    """The end of the third company's protection: how it stood, and the lead that ended it."""

    before: Standing
    last_lead_cents: int


class Days:
    """One month, lived once."""

    def __init__(
        self,
        *,
        clock: MovedClock,
        seller: DemoSeller,
        companies: Sequence[DemoCompany],
        consumers: Consumers,
        control: CrmControl,
        draw: random.Random,
        teller: Teller,
    ) -> None:
        self._clock = clock
        self._seller = seller
        self._consumers = consumers
        self._control = control
        self._draw = draw
        self._teller = teller
        by_crm = {company.crm: company for company in companies if company.crm is not None}
        if missing := [aim.crm for aim in AIMS if aim.crm not in by_crm]:
            raise DemoFailed(f"the demo market has no company at the CRM {', '.join(missing)}")
        self.cases = tuple((aim, by_crm[aim.crm]) for aim in AIMS)
        self._growing = self.cases[-1][1]
        self.edge: Edge | None = None

    async def live(self) -> None:
        """Live through the month."""
        for day in range(DAYS):
            morning = START + timedelta(days=day, hours=9)
            self._clock.move_to(morning)
            before = self._seller.sold
            offers = await self._offers(day)
            self._clock.forward(90)
            await self._sell(offers, day)
            self._clock.move_to(morning + timedelta(hours=9))
            if day == LAST_DAY:
                await self._bring_over()
            for aim, company in self.cases:
                if day < LAST_DAY:
                    await self._return_some(aim, company, day)
                elif company is not self._growing:
                    await self._return_the_rest(aim, company)
            self._teller.tell_day(day, morning, self._seller.sold - before, self.cases)

    # --- selling ----------------------------------------------------------------------------------

    async def _offers(self, day: int) -> list[Offered]:
        """Ping a day's leads, in a mixed order."""
        regions = [r for r, leads in LEADS_A_DAY.items() for _ in range(self._about(leads))]
        self._draw.shuffle(regions)
        offers = [await self._offer(region) for region in regions]
        grown = (min(day + 1, LAST_DAY) / LAST_DAY) ** GROWTH_POWER
        goal_cents = FINAL_CENTS if day == LAST_DAY else int(GROWTH_CENTS * grown)
        assigned = self._growing.standing.raw_assigned
        wanted = max(0, goal_cents - assigned) // USUAL_CENTS
        for _ in range(TRIES):
            if sum(self._leads_to(offer, self._growing) for offer in offers) >= wanted:
                break
            offers.append(await self._offer("gulf"))
        return offers

    def _about(self, leads: int) -> int:
        return leads + self._draw.choice((-1, 0, 0, 1))

    async def _offer(self, region: str) -> Offered:
        return await self._seller.offer(self._consumers.next(region))

    @staticmethod
    def _leads_to(offered: Offered, company: DemoCompany) -> bool:
        return offered.line[0] == company.company_id

    async def _sell(self, offers: Sequence[Offered], day: int) -> None:
        """Post a day's leads; a part of each company's while its system is down."""
        waiting = list(offers)
        for aim, company in (self.cases[-1], *self.cases[:-1]):
            failing = self._to_fail(aim, company, waiting, day)
            await self._post_while_down(company, failing)
            waiting = [offer for offer in waiting if offer not in failing]
        theirs = [offer for offer in waiting if self._leads_to(offer, self._growing)]
        await self._seller.post_all([offer for offer in waiting if offer not in theirs])
        if day == LAST_DAY:
            await self._fill_up(theirs)
        else:
            await self._seller.post_all(theirs)

    def _to_fail(
        self, aim: Aim, company: DemoCompany, offers: Sequence[Offered], day: int
    ) -> list[Offered]:
        """Choose which of a company's leads come while its system is down."""
        standing, growing = company.standing, company is self._growing
        # A lead that would fall to the growing company stays out: its sum is counted to the cent.
        mine = [
            offer
            for offer in offers
            if self._leads_to(offer, company)
            and (growing or self._growing.company_id not in offer.line)
        ]
        # Whether it is sold or fails, a lead is assigned; so what the day will bring is known.
        assigned = FINAL_CENTS
        if not (growing and day == LAST_DAY):
            assigned = standing.raw_assigned + sum(offer.charged_cents for offer in mine)
        wanted = aim.crm_tenths * assigned // 1_000 - standing.raw_crm
        most = aim.crm_tenths * self._at_the_end(company, day) // 1_000 - HELD_BACK_CENTS
        low, high = OUTAGE_CENTS, min(wanted, most - standing.raw_crm)
        if day == LAST_DAY:
            lowest, highest = crm_range(aim, assigned)
            low, high = lowest - standing.raw_crm, highest - standing.raw_crm
        chosen = choose([offer.charged_cents for offer in mine], low, high, min(wanted, high))
        if chosen is None and day == LAST_DAY:
            raise DemoFailed(f"no leads of {company.name} add up to its CRM rate")
        return [mine[index] for index in chosen or ()]

    def _at_the_end(self, company: DemoCompany, day: int) -> int:
        """What a company will have been assigned at the end, if it goes on as it does."""
        if company is self._growing:
            return FINAL_CENTS
        return company.standing.raw_assigned * DAYS // (day + 1)

    async def _post_while_down(self, company: DemoCompany, offers: Sequence[Offered]) -> None:
        if offers and company.crm is not None:
            await self._control.set_down(company.crm, True)
            try:
                await self._seller.post_all(offers)
            finally:
                await self._control.set_down(company.crm, False)

    async def _fill_up(self, offers: Sequence[Offered]) -> None:
        """Sell to the growing company until one more lead can end its protection."""
        least, most = WAITING_CENTS
        waiting = list(offers)
        for _ in range(TRIES):
            assigned = self._growing.standing.raw_assigned
            taken = []
            for offer in waiting:
                if assigned + offer.charged_cents <= most:
                    assigned += offer.charged_cents
                    taken.append(offer)
            await self._seller.post_all(taken)
            if assigned >= least:
                return
            offer = await self._offer("gulf")
            waiting = [offer] if self._leads_to(offer, self._growing) else []
        raise DemoFailed(f"{self._growing.name} did not come near the end of its protection")

    async def _bring_over(self) -> None:
        """Find the growing company's last lead, let it return what it will, and post the lead."""
        aim, company = self.cases[-1]
        returnable = await company.returnable()
        for _ in range(TRIES):
            offered = await self._offer("gulf")
            standing = company.standing
            assigned = standing.raw_assigned + offered.charged_cents
            low_crm, high_crm = crm_range(aim, assigned)
            if (
                not self._leads_to(offered, company)
                or offered.charged_cents < standing.protection_left
                or not low_crm <= standing.raw_crm <= high_crm
            ):
                continue
            chosen = self._to_return(aim, company, returnable, assigned)
            if chosen is not None:
                # The offer is binding: what the company returns now changes the next ping only.
                await company.give_back(chosen)
                self.edge = Edge(before=company.standing, last_lead_cents=offered.charged_cents)
                await self._seller.post(offered)
                return
        raise DemoFailed(f"no last lead of {company.name} brings it to its rates")

    # --- returning --------------------------------------------------------------------------------

    async def _return_some(self, aim: Aim, company: DemoCompany, day: int) -> None:
        """Return about the usual share of what was assigned so far, but for a reserve."""
        standing = company.standing
        share = aim.overall_tenths - aim.crm_tenths
        usual = share * standing.raw_assigned // 1_000
        at_most = share * self._at_the_end(company, day) // 1_000 - HELD_BACK_CENTS
        most = min(usual, at_most) - standing.raw_manual
        leads = await company.returnable()
        chosen = choose([lead.price_cents for lead in leads], 1, most, most)
        await company.give_back([leads[index] for index in chosen or ()])

    async def _return_the_rest(self, aim: Aim, company: DemoCompany) -> None:
        """Return what brings the overall rate to its end, to the cent of a $100.00 lead."""
        leads = await company.returnable()
        chosen = self._to_return(aim, company, leads, company.standing.raw_assigned)
        if chosen is None:
            raise DemoFailed(f"no leads of {company.name} add up to its overall rate")
        await company.give_back(chosen)

    @staticmethod
    def _to_return(
        aim: Aim, company: DemoCompany, leads: Sequence[DeliveredLead], assigned: int
    ) -> list[DeliveredLead] | None:
        standing = company.standing
        rejected = standing.raw_manual + standing.raw_crm
        low, high = overall_range(aim, assigned)
        chosen = choose(
            [lead.price_cents for lead in leads],
            low - rejected,
            high - rejected,
            (low + high) // 2 - rejected,
        )
        return None if chosen is None else [leads[index] for index in chosen]
