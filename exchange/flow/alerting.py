"""A look at the market: what stands badly is judged, written down and told, by one worker a time.

Rates, caps and balances are read from the worker's market, which follows the books within a second;
deliveries, connections and what workers say of bidders from the books. Decides no rule: what is a
fact and what is told are the core's. Source: rules §12.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final, TypeVar

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from exchange.core.alert_kinds import MANNERS, AlertKind
from exchange.core.alert_money import balance_facts, cap_facts, least_price, rate_facts
from exchange.core.alert_systems import (
    Incidents,
    bidder_facts,
    connection_fact,
    crm_fact,
    drift_fact,
    saved_fact,
)
from exchange.core.alert_terms import OPERATOR, AlertSettings, Terms, terms_under, wants
from exchange.core.alerts import Event, Fact, Watch, judge, kind_of
from exchange.core.market import Market
from exchange.core.model import Campaign, CampaignId, CompanyId
from exchange.flow.alert_ports import (
    AlertBooks,
    AlertRecord,
    AlertTold,
    BidderReports,
    Drift,
    Memory,
    Notice,
    Outcome,
    Told,
)
from exchange.flow.faults import Unavailable
from exchange.flow.ports import Clock

T = TypeVar("T")

MOST_EVENTS: Final = 500
"""Events of one look; what is more waits for the next, so that no storm floods the outbox."""

LOOK_S: Final = 45.0
"""The longest a look may take: less than its lease."""

INCIDENT_HOURS: Final = 1
_AT_ONCE: Final = 200
"""Companies gone through before pings have their turn."""

_encode = msgspec.json.Encoder(decimal_format="number").encode


class Looked(Struct, frozen=True, kw_only=True):
    """What a look came to."""

    raised: int
    renewed: int
    recovered: int
    notices: int


class Alerting:
    """Looks, and writes down what it found.

    ``defaults`` are the thresholds where nobody has set others; ``failures`` and ``recoveries``
    how many connection tests in a row raise and end an alert; ``fresh_id`` names a new one.
    """

    def __init__(
        self,
        *,
        owner: str,
        market: Market,
        books: AlertBooks,
        reports: BidderReports,
        drift: Drift,
        clock: Clock,
        defaults: Terms,
        failures: int,
        recoveries: int,
        keep_days: int,
        fresh_id: Callable[[], str],
    ) -> None:
        self._owner = owner
        self._market = market
        self._books = books
        self._reports = reports
        self._drift = drift
        self._clock = clock
        self._defaults = defaults
        self._failures = failures
        self._recoveries = recoveries
        self._keep_days = keep_days
        self._fresh_id = fresh_id
        self.raised = 0
        self.recovered = 0

    async def look(self, every_s: float = 0.0) -> Looked | None:
        """Look, if it is time (``every_s`` since the last look) and no other worker does.

        None where it is not, or where another worker took over meanwhile: nothing is written then.
        """
        if not await self._books.begin_look(self._owner, every_s):
            return None
        now = self._clock.now()
        async with asyncio.timeout(LOOK_S):
            memory = await self._books.memory()
            facts, unknown = await self._facts(memory, now)
            outcome, events = self._judge(memory, facts, unknown, now)
            if not await self._books.end_look(self._owner, outcome):
                return None
            await self._books.prune(now, self._keep_days)
        told = [event.what for event in events]
        self.raised += told.count("raised")
        self.recovered += told.count("recovered")
        return Looked(
            raised=told.count("raised"),
            renewed=told.count("renewed"),
            recovered=told.count("recovered"),
            notices=len(outcome.notices),
        )

    def terms(self, memory: Memory, company_id: CompanyId | None) -> Terms:
        """The thresholds that hold for a company."""
        own = None if company_id is None else memory.settings.get(company_id)
        return terms_under(self._defaults, own, memory.settings.get(OPERATOR))

    # --- what is found ----------------------------------------------------------------------------

    async def _facts(self, memory: Memory, now: datetime) -> tuple[list[Fact], set[AlertKind]]:
        """Every fact, and the kinds of which nothing can be said at this look."""
        common = self.terms(memory, None)

        def terms_of(company_id: CompanyId | None) -> Terms:
            return self.terms(memory, company_id) if company_id in memory.settings else common

        facts = await self._market_facts(memory, terms_of, now)
        facts += await self._incident_facts(memory, terms_of, now)
        watched = _campaigns(memory, AlertKind.BIDDER_RESTING, AlertKind.BIDDER_ERRORS)
        for counts in await self._reports.counts(watched):
            if self._is_active(counts.company_id, counts.campaign_id):
                facts += bidder_facts(counts, terms_of(counts.company_id), memory.watches)
        watched = _campaigns(memory, AlertKind.CONNECTION_FAILING)
        for streak in await self._books.streaks(watched):
            facts.append(connection_fact(streak, self._failures, self._recoveries))
        unknown: set[AlertKind] = set()
        try:
            drift = await self._drift.look(now)
        except Unavailable:
            unknown.add(AlertKind.STORES_DRIFT)
        else:
            facts.append(drift_fact(drift.lasting, drift.compared))
        return facts, unknown

    async def _market_facts(
        self, memory: Memory, terms_of: Callable[[CompanyId | None], Terms], now: datetime
    ) -> list[Fact]:
        market, facts = self._market, list[Fact]()
        prepaid: dict[CompanyId, list[int]] = {}
        async for campaign in _slowly(self._campaigns()):
            company = market.companies.get(campaign.company_id)
            if company is None or not company.active or not campaign.active:
                continue
            if not campaign.caps and company.available_cents is None:
                continue
            standing = market.standings.get(campaign.company_id)
            least = least_price(campaign, standing)
            if company.available_cents is not None:
                prepaid.setdefault(campaign.company_id, []).append(least)
            terms = terms_of(campaign.company_id)
            facts += cap_facts(campaign, company.usage, least, now, terms, memory.watches)
        async for company_id, company in _slowly(list(market.companies.items())):
            standing = market.standings.get(company_id)
            if not company.active or standing is None:
                continue
            terms = terms_of(company_id)
            facts += rate_facts(standing, market.policy, terms, memory.watches)
            if company.available_cents is not None:
                prices = prepaid.get(company_id, [])
                facts += balance_facts(
                    company_id, company.available_cents, prices, terms, memory.watches
                )
        return facts

    async def _incident_facts(
        self, memory: Memory, terms_of: Callable[[CompanyId | None], Terms], now: datetime
    ) -> list[Fact]:
        failed, saved = await self._books.incidents(now - timedelta(hours=INCIDENT_HOURS))
        facts = [
            crm_fact(
                found, terms_of(found.company_id), self._market.standings.get(found.company_id)
            )
            for found in _with_calm(failed, memory, AlertKind.CRM_REJECTIONS)
        ]
        facts += [saved_fact(f) for f in _with_calm(saved, memory, AlertKind.BACKUP_SAVED)]
        return facts

    def _campaigns(self) -> list[Campaign]:
        indexes = self._market.indexes.values()
        return [runner.campaign for index in indexes for runner in index.runners.values()]

    def _is_active(self, company_id: CompanyId, campaign_id: CampaignId) -> bool:
        campaign = self._market.campaign(campaign_id)
        company = self._market.companies.get(company_id)
        return bool(campaign and campaign.active and company and company.active)

    # --- what comes of it -------------------------------------------------------------------------

    def _judge(
        self, memory: Memory, facts: list[Fact], unknown: set[AlertKind], now: datetime
    ) -> tuple[Outcome, list[Event]]:
        by_key = {fact.key: fact for fact in facts}
        keep: list[Watch] = []
        forget: list[str] = []
        events: list[Event] = []
        for key in [*memory.watches, *(key for key in by_key if key not in memory.watches)]:
            if kind_of(key) in unknown:
                continue
            fact, watch = by_key.get(key), memory.watches.get(key)
            raised = None if watch is None else watch.alert_id
            if raised is not None and raised not in memory.alerts:
                watch = None  # its alert is kept no more: whatever it is now is new
            terms = self.terms(memory, _company_of(key))
            judged = judge(
                key, fact, watch, now, remind=terms.remind, fresh_id=self._fresh_id()
            )  # fmt: skip
            if judged.event is not None:
                if len(events) >= MOST_EVENTS:
                    continue
                events.append(judged.event)
            if judged.watch is None:
                if key in memory.watches:
                    forget.append(key)
            elif judged.watch != watch:
                keep.append(judged.watch)
        alerts = [self._record(memory, event, now) for event in events]
        notices = [
            notice
            for event, alert in zip(events, alerts, strict=True)
            for notice in notices_of(memory, event, alert, now)
        ]
        return Outcome(keep=keep, forget=forget, alerts=alerts, notices=notices), events

    def _record(self, memory: Memory, event: Event, now: datetime) -> AlertRecord:
        """The alert as an event leaves it."""
        fact, before = event.fact, memory.alerts.get(event.alert_id)
        if before is None:
            if fact is None:
                raise RuntimeError("an alert that is not kept has ended without a fact")
            manners = MANNERS[fact.kind]
            return AlertRecord(
                alert_id=event.alert_id,
                kind=fact.kind,
                severity=manners.severity,
                company_id=fact.company_id,
                campaign_id=fact.campaign_id,
                detail=fact.detail,
                state="told" if manners.momentary else "raised",
                text=fact.text,
                arithmetic=fact.arithmetic,
                values=Raw(_encode(fact.values)),
                events=event.number,
                raised_at=now,
            )
        alert = replace(before, events=event.number)
        if fact is not None:
            alert = replace(
                alert,
                text=fact.text,
                arithmetic=fact.arithmetic,
                values=Raw(_encode(fact.values)),
            )
        if event.what == "recovered":
            return replace(alert, state="recovered", recovered_at=now)
        return replace(alert, renewed_at=now)


def notices_of(memory: Memory, event: Event, alert: AlertRecord, now: datetime) -> list[Notice]:
    """The notices of an event: to its company and to the operator, as each has set.

    What is over because its subject is gone is told to nobody.
    """
    manners = MANNERS[alert.kind]
    if event.what == "recovered" and (event.fact is None or manners.quiet):
        return []
    notice_id = f"{alert.alert_id}.{event.number}"
    body = _encode(
        Told(notice_id=notice_id, event=event.what, at=now, alert=tell_alert(alert))
    )  # fmt: skip
    notices = []
    for receiver in (alert.company_id, OPERATOR):
        settings = None if receiver is None else memory.settings.get(receiver)
        if receiver is None or settings is None:
            continue
        if event.what == "recovered" and not settings.recoveries:
            continue
        if wants(settings, alert.kind, is_operator=receiver == OPERATOR):
            notices += notices_to(receiver, settings, notice_id, body)
    return notices


def notices_to(receiver: str, settings: AlertSettings, notice_id: str, body: bytes) -> list[Notice]:
    """One notice for each way a receiver wants to be told."""
    notices = [
        Notice(notice_id=notice_id, receiver=receiver, channel="email", address=address, body=body)
        for address in settings.emails
    ]
    if settings.webhook_url is not None:
        notices.append(Notice(notice_id=notice_id, receiver=receiver, channel="webhook", body=body))
    return notices


def tell_alert(alert: AlertRecord) -> AlertTold:
    """An alert as a notice has it."""
    return AlertTold(
        alert_id=alert.alert_id,
        kind=alert.kind.value,
        severity=alert.severity,
        title=MANNERS[alert.kind].title,
        text=alert.text,
        arithmetic=alert.arithmetic,
        values=alert.values,
        company_id=alert.company_id,
        campaign_id=alert.campaign_id,
        detail=alert.detail,
        state=alert.state,
        raised_at=alert.raised_at,
        renewed_at=alert.renewed_at,
        recovered_at=alert.recovered_at,
    )


async def _slowly(items: Iterable[T]) -> AsyncIterator[T]:
    """Give items one by one, and pings their turn in between."""
    for count, item in enumerate(items, start=1):
        yield item
        if count % _AT_ONCE == 0:
            await asyncio.sleep(0)


def _company_of(key: str) -> CompanyId | None:
    company_id = key.split("|")[1]
    return CompanyId(company_id) if company_id else None


def _campaigns(memory: Memory, *kinds: AlertKind) -> list[CampaignId]:
    """The campaigns of which something of these kinds is remembered."""
    return [CampaignId(key.split("|")[2]) for key in memory.watches if kind_of(key) in kinds]


def _with_calm(found: list[Incidents], memory: Memory, kind: AlertKind) -> Iterator[Incidents]:
    """What was found, and an empty entry for each campaign that is remembered and was not."""
    yield from found
    subjects = {(one.company_id, one.campaign_id) for one in found}
    for key in memory.watches:
        _, company_id, campaign_id, _ = key.split("|", 3)
        subject = CompanyId(company_id), CampaignId(campaign_id)
        if kind_of(key) is kind and subject not in subjects:
            yield Incidents(company_id=subject[0], campaign_id=subject[1], count=0, cents=0)
