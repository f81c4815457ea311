"""A market behind doors, in memory and no larger than the wire's tests need."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Generic, Literal, TypeVar

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from exchange.core.alert_kinds import AlertKind
from exchange.core.alert_terms import OPERATOR, AlertSettings, Terms, terms_under
from exchange.core.auction import Candidate
from exchange.core.changes import CompanyChange
from exchange.core.connections import places_of, uptime
from exchange.core.market import Market
from exchange.core.model import (
    Campaign,
    CampaignId,
    CompanyId,
    LeadId,
    Ping,
    PingId,
    Policy,
    SellerId,
)
from exchange.core.quality.flaws import Flaw, score_of
from exchange.core.reasons import Reason
from exchange.core.report_rows import Row
from exchange.core.reports import ReportAsk
from exchange.core.retell import Retold
from exchange.core.standing import Bucket, Standing, Window, weigh
from exchange.core.verticals import AttributeSpec, VerticalSpec, compile_vertical
from exchange.flow.alert_ports import AlertDesk, AlertRecord, AlertState
from exchange.flow.bidding import BidderState
from exchange.flow.connection_ports import ConnectionDesk, ConnectionOutcome, ConnectionState
from exchange.flow.contracts import Contracts
from exchange.flow.faults import Conflict, Fault, NotFound, because
from exchange.flow.ping_together import PingGroups, Told
from exchange.flow.ports import (
    Clock,
    Contact,
    LegResult,
    PostRequest,
    PostResult,
    Receipt,
    Rejected,
    Role,
)
from exchange.flow.registry import (
    Account,
    Caller,
    CampaignRecord,
    DeliveredLead,
    Inbox,
    PostedOffer,
    Registry,
    Reset,
    SoldLead,
    SoldLeg,
)
from exchange.flow.reports import Reports
from exchange.flow.retelling import RetoldReceipt
from exchange.flow.returning import ReturnDoors
from exchange.flow.suppressions import Keys, ListNumber, Suppressed, SuppressionLists
from tests.web.contracts_double import MemoryContracts
from tests.web.return_doubles import MemoryReturns
from tests.web.standing_doubles import standings_over

T = TypeVar("T")

NOW = datetime(2026, 11, 21, 22, 40, tzinfo=UTC)
TODAY = NOW.date()

SOLAR = compile_vertical(
    VerticalSpec(
        name="solar",
        title="Residential solar",
        floor="1.00",
        attributes={
            "zip": AttributeSpec(kind="zip", required=True, description="ZIP code of the home"),
            "state": AttributeSpec(kind="state", required=True),
            "credit_score": AttributeSpec(kind="integer", min=300, max=850),
            "owns_home": AttributeSpec(kind="boolean"),
            "monthly_bill": AttributeSpec(kind="decimal", min=0, max=10_000),
            "roof": AttributeSpec(kind="choice", allowed=("tile", "metal")),
            "remarks": AttributeSpec(kind="text", max_length=60),
            "panels": AttributeSpec(kind="integer"),
            "area": AttributeSpec(kind="decimal"),
        },
    )
)
ROOFING = compile_vertical(
    VerticalSpec(
        name="roofing",
        title="Roofing",
        attributes={"zip": AttributeSpec(kind="zip", required=True)},
    )
)

KEYS = {
    "key-of-seller": Caller(role="seller", subject_id="seller-1"),
    "key-of-other-seller": Caller(role="seller", subject_id="seller-2"),
    "key-of-company": Caller(role="company", subject_id="company-1"),
    "key-of-other-company": Caller(role="company", subject_id="company-2"),
    "key-of-operator": Caller(role="operator", subject_id="operator"),
}


class FrozenClock:
    """A clock that stands still."""

    def now(self) -> datetime:
        return NOW


class MemoryRegistry:
    """Accounts, campaigns and resets in dicts."""

    def __init__(self) -> None:
        self.kept: dict[tuple[Role, str], Account] = {}
        self.records: dict[str, CampaignRecord] = {}
        self.deposits: dict[str, int] = {}
        self.kept_resets: dict[str, Reset] = {}
        for caller in KEYS.values():
            if caller.role != "operator":
                self._keep(caller.role, caller.subject_id, caller.subject_id)

    def _keep(self, role: Role, account_id: str, name: str, prepaid: bool = False) -> Account:
        account = Account(
            id=account_id,
            role=role,
            name=name,
            active=True,
            created_at=NOW,
            prepaid=prepaid,
            available_cents=0 if prepaid else None,
        )
        self.kept[role, account_id] = account
        return account

    async def who(self, api_key: str) -> Caller | None:
        return KEYS.get(api_key)

    def known(self, api_key: str) -> Caller | None:
        return KEYS.get(api_key)

    async def create_account(
        self, role: Role, name: str, *, prepaid: bool, now: datetime
    ) -> tuple[Account, str]:
        number = len(self.kept) + 1
        return self._keep(role, f"{role}-{number}", name, prepaid), f"new-key-{number}"

    async def accounts(self, role: Role, after: str, limit: int) -> Sequence[Account]:
        ids = sorted(i for r, i in self.kept if r == role and i > after)
        return [self.kept[role, i] for i in ids[:limit]]

    async def account(self, role: Role, account_id: str) -> Account | None:
        return self.kept.get((role, account_id))

    async def set_active(
        self, role: Role, account_id: str, active: bool, now: datetime
    ) -> Account | None:
        account = self.kept.get((role, account_id))
        if account is not None:
            account = self.kept[role, account_id] = replace(account, active=active)
        return account

    async def deposit(
        self, company_id: CompanyId, cents: int, key: str, now: datetime
    ) -> Account | None:
        account = self.kept.get(("company", company_id))
        if account is None:
            return None
        if self.deposits.setdefault(key, cents) != cents:
            raise Conflict("this key was used for another deposit", field="key")
        balance = sum(self.deposits.values())
        return replace(account, balance_cents=balance, available_cents=balance)

    async def save_campaign(
        self, campaign: Campaign, *, create: bool, now: datetime
    ) -> CampaignRecord | None:
        old = self.records.get(campaign.campaign_id)
        record = CampaignRecord(
            campaign=campaign,
            version=1 if old is None else old.version + 1,
            created_at=now if old is None else old.created_at,
            updated_at=now,
        )
        self.records[campaign.campaign_id] = record
        return record

    async def delete_campaign(
        self, campaign_id: CampaignId, company_id: CompanyId, now: datetime
    ) -> bool:
        return self.records.pop(campaign_id, None) is not None

    async def campaign(self, campaign_id: CampaignId) -> CampaignRecord | None:
        return self.records.get(campaign_id)

    async def campaigns(
        self, company_id: CompanyId | None, after: str, limit: int
    ) -> Sequence[CampaignRecord]:
        found = [
            record
            for _, record in sorted(self.records.items())
            if company_id in (None, record.campaign.company_id)
            and record.campaign.campaign_id > after
        ]
        return found[:limit]

    async def window(self, company_id: CompanyId, now: datetime) -> Window | None:
        return window_of(company_id) if ("company", company_id) in self.kept else None

    async def ask_reset(self, company_id: CompanyId, now: datetime) -> Reset:
        if ("company", company_id) not in self.kept:
            raise NotFound("no such company")
        if company_id == "company-2":
            raise because(Reason.RESET_TOO_EARLY, details={"missing": "12.00"})
        reset = Reset(
            reset_id="reset-1",
            company_id=company_id,
            status="asked",
            asked_at=now,
            approved_at=None,
        )
        self.kept_resets[reset.reset_id] = reset
        return reset

    async def approve_reset(self, reset_id: str, now: datetime) -> Reset | None:
        reset = self.kept_resets.get(reset_id)
        return replace(reset, status="approved", approved_at=now) if reset else None

    async def resets(self, company_id: CompanyId | None, after: str, limit: int) -> Sequence[Reset]:
        found = [r for r in self.kept_resets.values() if company_id in (None, r.company_id)]
        return [r for r in found if r.reset_id > after][:limit]


def window_of(company_id: CompanyId) -> Window:
    """$550,000 assigned, $39,900 and $6,850 rejected: 8.50 % overall, 1.25 % crm."""
    yesterday = TODAY - timedelta(days=1)
    return Window(
        company_id=company_id,
        era=1,
        era_assigned=54_800_000,
        buckets={
            (yesterday, 0): Bucket(assigned=200_000),
            (yesterday, 1): Bucket(assigned=800_000, manual=3_990_000 - 10_000),
            (TODAY, 1): Bucket(assigned=54_000_000, manual=10_000, crm=685_000),
            (date(2026, 1, 1), 0): Bucket(assigned=99, manual=99),
        },
    )


def lead_of(number: int) -> DeliveredLead:
    """A lead that company-1 took."""
    return DeliveredLead(
        lead_id=LeadId(f"lead-{number}"),
        delivery_id=f"delivery-{number}",
        campaign_id=CampaignId("campaign-1"),
        vertical="solar",
        status="sold",
        price_cents=4_575,
        attributes=Raw(b'{"zip":"94107","state":"CA"}'),
        contact=Contact(first_name="Ann", last_name="Lee", email="ann@example.com"),
        delivered_at=NOW,
        rejectable_until=NOW + timedelta(hours=48),
        rejection_reason=None,
        test=False,
    )


def sold_of(number: int) -> SoldLead:
    """A lead that seller-1 sold to two companies, of which one returned it."""
    statuses: tuple[Literal["sold", "rejected"], ...] = ("sold", "rejected")
    return SoldLead(
        lead_id=LeadId(f"lead-{number}"),
        ping_id=PingId(f"ping-{number}"),
        vertical="solar",
        source={"sub_id": "roofs.example"},
        sold_at=NOW,
        legs=tuple(
            SoldLeg(
                leg=leg,
                seller_cents=20_00 + leg,
                status=status,
                rejectable_until=NOW + timedelta(hours=48),
            )
            for leg, status in enumerate(statuses)
        ),
    )


class MemoryInbox:
    """Five leads of company-1, sold by seller-1; ``posts`` are leads by their pings."""

    def __init__(self) -> None:
        self.posts: dict[PingId, PostedOffer] = {}

    async def leads(self, company_id: CompanyId, after: str, limit: int) -> list[DeliveredLead]:
        found = [lead_of(n) for n in range(1, 6)] if company_id == "company-1" else []
        return [lead for lead in found if lead.lead_id > after][:limit]

    async def lead(self, company_id: CompanyId, lead_id: LeadId) -> DeliveredLead | None:
        found = await self.leads(company_id, "", 10)
        return next((lead for lead in found if lead.lead_id == lead_id), None)

    async def sales(self, seller_id: SellerId, after: str, limit: int) -> list[SoldLead]:
        found = [sold_of(n) for n in range(1, 6)] if seller_id == "seller-1" else []
        return [lead for lead in found if lead.lead_id > after][:limit]

    async def posted(self, ping_id: PingId) -> PostedOffer | None:
        return self.posts.get(ping_id)


class MemoryGroups(Generic[T]):
    """Holds the auctions of a group one by one."""

    def __init__(self, doors: MemoryDoors, told: Told[T]) -> None:
        self._doors = doors
        self._told = told
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, asks: Iterable[tuple[T, Ping]]) -> None:
        for token, ping in asks:
            task = asyncio.create_task(self._ping(token, ping))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _ping(self, token: T, ping: Ping) -> None:
        try:
            came: Receipt | Exception = await self._doors.ping(ping)
        except Exception as error:
            came = error
        self._told([(token, came)])


class MemorySuppressions:
    """One list of keyed hashes for each company; a new one is a copy that has begun empty."""

    def __init__(self) -> None:
        self.lists: dict[str, set[bytes]] = {}
        self.new: dict[int, tuple[CompanyId, set[bytes]]] = {}
        self.fault: Fault | None = None

    async def show(self, company_id: CompanyId) -> Suppressed:
        if company_id not in ("company-1", "company-2"):
            raise NotFound("no such company")
        listed = self.lists.get(company_id)
        return Suppressed(
            company_id=company_id,
            contacts=len(listed or ()),
            changed_at=None if listed is None else NOW,
        )

    async def open(self, company_id: CompanyId, now: datetime) -> ListNumber:
        await self.show(company_id)
        self.new[len(self.new)] = (company_id, self.lists.setdefault(company_id, set()))
        return ListNumber(len(self.new) - 1)

    async def open_new(self, company_id: CompanyId, now: datetime) -> ListNumber:
        await self.show(company_id)
        self.new[len(self.new)] = (company_id, set())
        return ListNumber(len(self.new) - 1)

    async def put(self, number: ListNumber, contacts: Sequence[Keys], now: datetime) -> int:
        if self.fault is not None:
            raise self.fault
        listed = self.new[number][1]
        before = len(listed)
        listed.update(contact[0] for contact in contacts)
        return len(listed) - before

    async def take(self, number: ListNumber, contacts: Sequence[Keys], now: datetime) -> int:
        listed = self.new[number][1]
        before = len(listed)
        listed.difference_update(key for contact in contacts for key in contact)
        return before - len(listed)

    async def replace(self, number: ListNumber, now: datetime) -> Suppressed:
        company_id, self.lists[company_id] = self.new[number]
        return await self.show(company_id)

    async def give_up(self, number: ListNumber) -> None:
        del self.new[number]

    async def drop(self, company_id: CompanyId, now: datetime) -> int:
        await self.show(company_id)
        return len(self.lists.pop(company_id, ()))


def alert_of(number: int, company_id: str | None = "company-1") -> AlertRecord:
    """An alert as it is kept."""
    return AlertRecord(
        alert_id=f"alert-{number}",
        kind=AlertKind.STORES_DRIFT if company_id is None else AlertKind.CRM_OVER,
        severity="critical",
        company_id=None if company_id is None else CompanyId(company_id),
        campaign_id=None,
        detail="",
        state="raised" if number > 1 else "recovered",
        text="The CRM rejection rate is 12.40 %.",
        arithmetic="1240.00 rejected / 10000.00 assigned = 12.40 %",
        values=Raw(b'{"crm_pct":12.40}'),
        events=1,
        raised_at=NOW,
        recovered_at=None if number > 1 else NOW,
    )


class MemoryAlerts:
    """Three alerts of company-1, the first over, and one of the operator's; settings in a dict."""

    def __init__(self) -> None:
        self.kept = {f"alert-{n}": alert_of(n) for n in (1, 2, 3)}
        self.kept["alert-4"] = alert_of(4, None)
        self.saved: dict[str, AlertSettings] = {}

    async def alerts(
        self, company_id: CompanyId | None, state: AlertState | None, before: str, limit: int
    ) -> list[AlertRecord]:
        found = [
            alert
            for alert_id, alert in sorted(self.kept.items(), reverse=True)
            if company_id in (None, alert.company_id)
            and state in (None, alert.state)
            and (not before or alert_id < before)
        ]
        return found[:limit]

    async def alert(self, alert_id: str) -> AlertRecord | None:
        return self.kept.get(alert_id)

    async def acknowledge(self, alert_id: str, by: str, now: datetime) -> AlertRecord | None:
        alert = self.kept[alert_id]
        if alert.state != "raised":
            return None
        self.kept[alert_id] = replace(alert, acknowledged_at=now, acknowledged_by=by)
        return self.kept[alert_id]

    async def settings(self, receiver: str) -> AlertSettings | None:
        return self.saved.get(receiver)

    async def save_settings(self, receiver: str, settings: AlertSettings, now: datetime) -> None:
        self.saved[receiver] = settings

    async def terms(self, company_id: CompanyId | None) -> Terms:
        own = None if company_id is None else self.saved.get(company_id)
        return terms_under(Terms(), own, self.saved.get(OPERATOR))

    def secret(self, receiver: str) -> str:
        return f"xs_{receiver}"

    async def try_out(self, receiver: str, now: datetime) -> int:
        return len(self.saved.get(receiver, AlertSettings()).emails)


class MemoryConnections:
    """Tests nothing, and says it passed."""

    every_s = 900.0

    def __init__(self) -> None:
        self.out: set[str] = set()

    async def test_now(self, campaign: Campaign) -> list[ConnectionOutcome]:
        return [
            ConnectionOutcome(target=place.target, kind=place.kind, status="passed", at=NOW)
            for place in places_of(campaign)
        ]

    async def states(self, campaign: Campaign) -> list[ConnectionState]:
        nothing = uptime((), NOW, timedelta(days=1))
        return [
            ConnectionState(
                place=place, failures=0, successes=0, last=(), day=nothing, month=nothing
            )
            for place in places_of(campaign)
        ]

    async def is_out(self, campaign_id: CampaignId) -> bool:
        return campaign_id in self.out

    async def opt_out(self, campaign_id: CampaignId, out: bool) -> None:
        (self.out.add if out else self.out.discard)(campaign_id)


class MemoryReports:
    """A report of as many batches of two rows as are wanted; remembers what was asked.

    ``fault`` is raised before the first batch, ``late_fault`` behind the last.
    """

    def __init__(self) -> None:
        self.asked: list[ReportAsk] = []
        self.batches = 1
        self.fault: Exception | None = None
        self.late_fault: Exception | None = None
        self.closed = 0

    async def rows(self, ask: ReportAsk) -> AsyncGenerator[list[Row], None]:
        self.asked.append(ask)
        try:
            if self.fault is not None:
                raise self.fault
            for number in range(self.batches):
                cells: Row = {column.name: None for column in ask.spec.columns}
                cells["period"] = TODAY
                for column in ask.spec.columns:
                    if column.kind in ("count", "money", "percent"):
                        cells[column.name] = 100 * number + 5
                texts = [column.name for column in ask.spec.columns if column.kind == "text"]
                yield [cells, cells | dict(zip(texts, ("=1+1", 'a "b", c'), strict=False))]
            if self.late_fault is not None:
                raise self.late_fault
        finally:
            self.closed += 1


class MemoryDoors:
    """Answers every ping with an offer of 38.89 and every post with a sale, and remembers both.

    ``fault`` is raised instead, once set; ``legs_cents`` is what the next offer is made of.
    """

    def __init__(self) -> None:
        self.clock: Clock = FrozenClock()
        self.market = Market([SOLAR, ROOFING], Policy(), TODAY)
        self.accounts = MemoryRegistry()
        self.registry: Registry = self.accounts
        self.kept_leads = MemoryInbox()
        self.returned: set[LeadId] = set()
        self.inbox: Inbox = self.kept_leads
        self.standings, self.past, self.dynamics = standings_over(
            self.market, self.registry, self.clock
        )
        self.listed = MemorySuppressions()
        self.suppressions: SuppressionLists = self.listed
        self.kept_contracts = MemoryContracts()
        self.contracts: Contracts = self.kept_contracts
        self.read_reports = MemoryReports()
        self.reports: Reports = self.read_reports
        self.pings: list[Ping] = []
        self.posts: list[PostRequest] = []
        self.receipts: dict[str, Receipt] = {}
        self.retold: RetoldReceipt | None = None
        self.legs_cents: tuple[int, ...] = (3_889,)
        self.refusal: Reason | None = None
        self.flaws: tuple[Flaw, ...] = ()
        self.fault: Exception | None = None
        self.waiting_for: list[str] = []
        self.asking = 0
        self.returns = MemoryReturns()
        self.returning: ReturnDoors = self.returns
        self.bidder_states: dict[str, BidderState] = {}
        self.kept_alerts = MemoryAlerts()
        self.alerts: AlertDesk = self.kept_alerts
        self.connections: ConnectionDesk = MemoryConnections()

    async def ping(self, ping: Ping) -> Receipt:
        if self.fault is not None:
            raise self.fault
        self.pings.append(ping)
        receipt = self._decide(ping)
        self.receipts[ping.ping_id] = receipt
        return receipt

    def ping_groups(self, told: Told[T]) -> PingGroups[T]:
        return MemoryGroups(self, told)

    def _decide(self, ping: Ping) -> Receipt:
        offered = bool(self.legs_cents) and self.refusal is None
        status: Literal["offer", "no_offer", "refused"] = "offer" if offered else "refused"
        if not offered and self.refusal is None:
            status = "no_offer"
        return Receipt(
            ping_id=ping.ping_id,
            seller_id=ping.seller_id,
            vertical=ping.vertical,
            attributes=Raw(msgspec.json.encode(ping.attributes)),
            status=status,
            decided_at=NOW,
            share=len(self.legs_cents) if offered else None,
            legs_cents=self.legs_cents if offered else (),
            expires_at=NOW + timedelta(seconds=300) if offered else None,
            reason=self.refusal or (None if offered else Reason.NO_BID),
            reasons={"filter": 41, "schedule": 2, "outbid": 1},
            timings_us={"screen": 12, "auction": 80},
            test=ping.test,
            quality_score=score_of(self.flaws),
            flaws=self.flaws,
            candidates=(
                Candidate(
                    campaign_id=CampaignId("campaign-1"),
                    company_id=CompanyId("company-1"),
                    outcome="won",
                    share=1,
                    base_cents=5_000,
                    rejected=85,
                    assigned=1_000,
                    rectified_cents=4_575,
                    charged_cents=4_575,
                    rank=1,
                    draw=7,
                ),
                Candidate(
                    campaign_id=CampaignId("campaign-2"),
                    company_id=CompanyId("company-2"),
                    outcome="no_bid",
                    reason=Reason.CRM_GATE,
                ),
            ),
        )

    async def post(self, request: PostRequest) -> PostResult:
        if self.fault is not None:
            raise self.fault
        self.posts.append(request)
        legs = tuple(
            LegResult(leg_id=f"{request.ping_id}-{n}", status="sold", price_cents=price)
            for n, price in enumerate(self.legs_cents, start=1)
        )
        if self.refusal is not None:
            return PostResult(
                ping_id=request.ping_id,
                lead_id=LeadId("lead-9"),
                status="unsold",
                reason=self.refusal,
                legs=(LegResult(leg_id="x-1", status="unsold", reason=self.refusal),),
            )
        return PostResult(
            ping_id=request.ping_id,
            lead_id=LeadId("lead-9"),
            status="sold",
            price_cents=sum(self.legs_cents),
            legs=legs,
        )

    async def reject(
        self,
        company_id: CompanyId,
        lead_id: LeadId,
        *,
        reason_code: str | None,
        text: str | None,
        note: str | None,
        review: bool = False,
    ) -> tuple[Rejected, Standing]:
        if await self.inbox.lead(company_id, lead_id) is None:
            raise NotFound("no such lead")
        window = window_of(company_id)
        rejected = Rejected(
            rejection_id="rejection-1",
            lead_id=lead_id,
            reason=Reason.INVALID_CONTACT,
            value_cents=4_575,
            rejected_at=NOW,
            day=TODAY,
            company=CompanyChange(
                company_id=company_id, version=2, active=True, era=1, era_assigned=0
            ),
            is_repeat=lead_id in self.returned,
        )
        self.returned.add(lead_id)
        return rejected, weigh(window, TODAY, self.market.policy)

    async def receipt(self, ping_id: PingId) -> Receipt | None:
        return self.receipts.get(ping_id)

    async def whole_receipt(self, ping_id: PingId) -> RetoldReceipt | None:
        receipt = self.receipts.get(ping_id)
        if receipt is None:
            return None
        return self.retold or RetoldReceipt(
            receipt=receipt, source="receipt", retold=Retold(candidates=receipt.candidates)
        )

    async def standing(self, company_id: CompanyId) -> Standing | None:
        window = await self.registry.window(company_id, NOW)
        return weigh(window, TODAY, self.market.policy) if window is not None else None

    def signing_secret(self, company_id: CompanyId) -> str:
        return f"xs_{company_id}"

    async def bidder_state(self, campaign_id: CampaignId) -> BidderState | None:
        return self.bidder_states.get(campaign_id)

    def ready(self) -> list[str]:
        return self.waiting_for


class RecordingLog:
    """Keeps what was logged."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, object]]] = []

    def error(self, event: str, **facts: object) -> None:
        self.lines.append((event, facts))

    def warning(self, event: str, **facts: object) -> None:
        self.lines.append((event, facts))
