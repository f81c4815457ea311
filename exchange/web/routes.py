"""The one table of calls. Dispatch, authorisation, the OpenAPI document and the tests read it.

Source: the wire's contract (who may call what).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from msgspec import Struct

from exchange.flow.ports import Role
from exchange.web import (
    accounts,
    alerts,
    campaigns,
    connections,
    contracts,
    leads,
    operations,
    probes,
    reports,
    returns,
    standings,
    suppressions,
)
from exchange.web.calls import Call
from exchange.web.queries import DRY_RUN, PAGE_NAMES, Asked
from exchange.web.wire import (
    NoOfferAnswer,
    OfferAnswer,
    PingBody,
    PostAnswer,
    PostBody,
    RefusedAnswer,
)
from exchange.web.wire_accounts import (
    AccountChange,
    CompanyAnswer,
    CompanyBody,
    CompanyList,
    DepositBody,
    Document,
    Health,
    Index,
    NewCompany,
    NewSeller,
    ResetAnswer,
    ResetList,
    SellerAnswer,
    SellerBody,
    SellerList,
    SigningSecretAnswer,
    VerticalList,
)
from exchange.web.wire_alerts import (
    AlertAnswer,
    AlertKindList,
    AlertList,
    AlertSettingsAnswer,
    AlertSettingsBody,
    TrialNotices,
)
from exchange.web.wire_campaigns import (
    BidderAnswer,
    CampaignAnswer,
    CampaignBody,
    CampaignList,
    CampaignReplacement,
)
from exchange.web.wire_connections import (
    ConnectionList,
    ConnectionTestAnswer,
    ConnectionTestsBody,
)
from exchange.web.wire_contracts import (
    BreachList,
    ContractAnswer,
    ContractBody,
    ContractEndBody,
    ContractList,
    VersionBody,
)
from exchange.web.wire_leads import (
    FullReceipt,
    LeadAnswer,
    LeadList,
    OwnReceipt,
    RejectionAnswer,
    RejectionBody,
    SaleList,
    SellerReceipt,
    WholeReceipt,
)
from exchange.web.wire_probes import PresetList, ProbeAnswer, ProbeBody
from exchange.web.wire_quality import LeadQualityAnswer
from exchange.web.wire_reports import REPORT_QUERY, ReportAnswer, ReportList
from exchange.web.wire_returns import (
    BulkAnswer,
    BulkBody,
    DisputeBody,
    DisputeDecisionBody,
    RejectionPreview,
    ReturnAnswer,
    ReturnList,
    ReversalBody,
    ReviewBody,
)
from exchange.web.wire_standing import (
    DynamicDays,
    ExplainedStanding,
    StandingHistory,
    WhatIfAnswer,
)
from exchange.web.wire_suppressions import (
    DroppedAnswer,
    RemovalAnswer,
    SuppressionAnswer,
    UploadAnswer,
)

Handler = Callable[[Call], Awaitable[object]]

ANYONE: Final[frozenset[Role]] = frozenset()
SELLER: Final[frozenset[Role]] = frozenset({"seller"})
COMPANY: Final[frozenset[Role]] = frozenset({"company"})
OPERATOR: Final[frozenset[Role]] = frozenset({"operator"})


class Route(Struct, frozen=True, kw_only=True):
    """One call. No roles means anyone, without a key.

    ``answer`` is the type the document shows (a union for several shapes), ``text`` the content
    type of one that is not JSON. ``forms``: the body may be a form. ``bulk``: body and answer may
    be CSV, and the answer is streamed. ``csv``: the answer may be had as CSV. ``streamed``: the
    content types of a body that is read piece by piece. ``listed``: takes after and limit.
    ``asked``: what else its query takes. ``keyed``: takes an Idempotency-Key.
    ``sells``: a ping or post, refused while draining. ``faults`` are the statuses it may answer
    besides those of its form.
    """

    method: str
    path: str
    roles: frozenset[Role]
    handler: Handler
    summary: str
    tag: str
    body: type[Struct] | None = None
    answer: Any = None
    status: int = 200
    text: str | None = None
    forms: bool = False
    bulk: bool = False
    listed: bool = False
    sells: bool = False
    keyed: bool = False
    asked: tuple[Asked, ...] = ()
    csv: bool = False
    streamed: tuple[str, ...] = ()
    faults: tuple[int, ...] = ()

    @property
    def query_names(self) -> tuple[str, ...]:
        """What the query may name."""
        own = tuple(asked.name for asked in self.asked)
        return (*own, *PAGE_NAMES) if self.listed else own

    @property
    def label(self) -> str:
        """The route's name in metrics and logs."""
        return f"{self.method} {self.path}"


def _row(
    method: str, path: str, roles: frozenset[Role], handler: Handler, tag: str, **facts: Any
) -> Route:
    summary = (handler.__doc__ or "").strip().splitlines()[0]
    return Route(
        method=method, path=path, roles=roles, handler=handler, summary=summary, tag=tag, **facts
    )


LINES: Final = ("text/csv", "text/plain")
"""A file of lines."""

_PING_ANSWER: Final = OfferAnswer | NoOfferAnswer | RefusedAnswer
_RECEIPT: Final = SellerReceipt | WholeReceipt | FullReceipt | OwnReceipt

# fmt: off
ROUTES: Final[tuple[Route, ...]] = (
    _row("POST", "/v1/ping", SELLER, leads.ping, "leads", body=PingBody, answer=_PING_ANSWER,
         forms=True, sells=True, faults=(503,)),
    _row("POST", "/v1/post", SELLER, leads.post, "leads", body=PostBody, answer=PostAnswer,
         forms=True, sells=True, keyed=True, faults=(404, 409, 410, 503)),
    _row("GET", "/v1/pings/{ping_id}", SELLER | COMPANY | OPERATOR, leads.get_ping, "leads",
         answer=_RECEIPT, asked=leads.RECEIPT_ASKED, faults=(404,)),
    _row("GET", "/v1/pings/{ping_id}/quality", SELLER | OPERATOR, leads.get_quality, "leads",
         answer=LeadQualityAnswer, faults=(404,)),
    _row("GET", "/v1/leads", COMPANY, leads.list_leads, "leads", answer=LeadList, listed=True),
    _row("GET", "/v1/sales", SELLER, leads.list_sales, "leads", answer=SaleList, listed=True),
    _row("GET", "/v1/leads/{lead_id}", COMPANY, leads.get_lead, "leads", answer=LeadAnswer,
         faults=(404,)),
    _row("POST", "/v1/leads/{lead_id}/rejections", COMPANY, leads.reject, "leads",
         body=RejectionBody, answer=RejectionAnswer | RejectionPreview, asked=(DRY_RUN,),
         faults=(404, 409)),
    _row("POST", "/v1/returns", COMPANY, returns.bulk_reject, "returns", body=BulkBody,
         answer=BulkAnswer, bulk=True, asked=(DRY_RUN,)),
    _row("GET", "/v1/returns", SELLER | COMPANY | OPERATOR, returns.list_returns, "returns",
         answer=ReturnList, listed=True, asked=returns.LIST_ASKED),
    _row("GET", "/v1/returns/{rejection_id}", SELLER | COMPANY | OPERATOR, returns.get_return,
         "returns", answer=ReturnAnswer, faults=(404,)),
    _row("GET", "/v1/reviews", OPERATOR, returns.list_reviews, "returns", answer=ReturnList,
         listed=True),
    _row("POST", "/v1/returns/{rejection_id}/review", OPERATOR, returns.review_return, "returns",
         body=ReviewBody, answer=ReturnAnswer, faults=(404, 409)),
    _row("POST", "/v1/returns/{rejection_id}/dispute", SELLER, returns.dispute_return, "returns",
         body=DisputeBody, answer=ReturnAnswer, faults=(404, 409)),
    _row("GET", "/v1/disputes", OPERATOR, returns.list_disputes, "returns", answer=ReturnList,
         listed=True),
    _row("POST", "/v1/disputes/{dispute_id}/decision", OPERATOR, returns.decide_dispute,
         "returns", body=DisputeDecisionBody, answer=ReturnAnswer, faults=(404, 409)),
    _row("POST", "/v1/returns/{rejection_id}/reversal", OPERATOR, returns.reverse_return,
         "returns", body=ReversalBody, answer=ReturnAnswer, faults=(404, 409)),
    _row("GET", "/v1/campaigns", COMPANY | OPERATOR, campaigns.list_campaigns, "campaigns",
         answer=CampaignList, listed=True),
    _row("POST", "/v1/campaigns", COMPANY | OPERATOR, campaigns.create_campaign, "campaigns",
         body=CampaignBody, answer=CampaignAnswer, status=201),
    _row("GET", "/v1/campaigns/{campaign_id}", COMPANY | OPERATOR, campaigns.get_campaign,
         "campaigns", answer=CampaignAnswer, faults=(404,)),
    _row("PUT", "/v1/campaigns/{campaign_id}", COMPANY | OPERATOR, campaigns.replace_campaign,
         "campaigns", body=CampaignReplacement, answer=CampaignAnswer, faults=(404,)),
    _row("DELETE", "/v1/campaigns/{campaign_id}", COMPANY | OPERATOR, campaigns.delete_campaign,
         "campaigns", status=204, faults=(404,)),
    _row("POST", "/v1/campaigns/{campaign_id}/probe", COMPANY | OPERATOR, probes.probe_campaign,
         "campaigns", body=ProbeBody, answer=ProbeAnswer, faults=(404,)),
    _row("GET", "/v1/presets", COMPANY | OPERATOR, probes.list_presets, "campaigns",
         answer=PresetList),
    _row("GET", "/v1/campaigns/{campaign_id}/bidder", COMPANY | OPERATOR, campaigns.get_bidder,
         "campaigns", answer=BidderAnswer, faults=(404,)),
    _row("GET", "/v1/companies/{company_id}/standing", COMPANY | OPERATOR, standings.get_standing,
         "standing", answer=ExplainedStanding, faults=(404,)),
    _row("GET", "/v1/companies/{company_id}/standing/history", COMPANY | OPERATOR,
         standings.get_history, "standing", answer=StandingHistory, csv=True,
         asked=standings.HISTORY_ASKED, faults=(404,)),
    _row("GET", "/v1/companies/{company_id}/what-if", COMPANY | OPERATOR, standings.get_what_if,
         "standing", answer=WhatIfAnswer, asked=standings.WHAT_IF_ASKED, faults=(404,)),
    _row("GET", "/v1/dynamic", OPERATOR, standings.get_dynamic, "standing", answer=DynamicDays,
         asked=standings.DYNAMIC_ASKED),
    _row("GET", "/v1/contracts", SELLER | COMPANY | OPERATOR, contracts.list_contracts,
         "contracts", answer=ContractList, listed=True, asked=contracts.LIST_ASKED),
    _row("POST", "/v1/contracts", OPERATOR, contracts.create_contract, "contracts",
         body=ContractBody, answer=ContractAnswer, status=201, keyed=True, faults=(409,)),
    _row("GET", "/v1/contracts/{contract_id}", SELLER | COMPANY | OPERATOR,
         contracts.get_contract, "contracts", answer=ContractAnswer, faults=(404,)),
    _row("POST", "/v1/contracts/{contract_id}/versions", OPERATOR, contracts.add_contract_version,
         "contracts", body=VersionBody, answer=ContractAnswer, status=201, keyed=True,
         faults=(404, 409)),
    _row("POST", "/v1/contracts/{contract_id}/end", OPERATOR, contracts.end_contract, "contracts",
         body=ContractEndBody, answer=ContractAnswer, keyed=True, faults=(404, 409)),
    _row("GET", "/v1/contracts/{contract_id}/refusals", SELLER | COMPANY | OPERATOR,
         contracts.list_contract_refusals, "contracts", answer=BreachList, listed=True,
         faults=(404,)),
    _row("GET", "/v1/companies/{company_id}/signing-secret", COMPANY | OPERATOR,
         accounts.get_signing_secret, "accounts", answer=SigningSecretAnswer, faults=(404,)),
    _row("POST", "/v1/companies/{company_id}/crm-resets", COMPANY | OPERATOR, accounts.ask_reset,
         "standing", answer=ResetAnswer, status=201, faults=(404, 409)),
    _row("GET", "/v1/companies/{company_id}/crm-resets", COMPANY | OPERATOR,
         accounts.list_company_resets, "standing", answer=ResetList, listed=True, faults=(404,)),
    _row("GET", "/v1/crm-resets", OPERATOR, accounts.list_resets, "standing", answer=ResetList,
         listed=True),
    _row("POST", "/v1/crm-resets/{reset_id}/approval", OPERATOR, accounts.approve_reset,
         "standing", answer=ResetAnswer, faults=(404,)),
    _row("GET", "/v1/companies/{company_id}/suppressions", COMPANY | OPERATOR,
         suppressions.get_suppressions, "suppressions", answer=SuppressionAnswer, faults=(404,)),
    _row("POST", "/v1/companies/{company_id}/suppressions", COMPANY | OPERATOR,
         suppressions.add_suppressions, "suppressions", streamed=LINES, answer=UploadAnswer,
         faults=(404, 409)),
    _row("PUT", "/v1/companies/{company_id}/suppressions", COMPANY | OPERATOR,
         suppressions.replace_suppressions, "suppressions", streamed=LINES, answer=UploadAnswer,
         faults=(404, 409)),
    _row("DELETE", "/v1/companies/{company_id}/suppressions", COMPANY | OPERATOR,
         suppressions.drop_suppressions, "suppressions", answer=DroppedAnswer, faults=(404,)),
    _row("POST", "/v1/companies/{company_id}/suppressions/removals", COMPANY | OPERATOR,
         suppressions.remove_suppressions, "suppressions", streamed=LINES, answer=RemovalAnswer,
         faults=(404, 409)),
    _row("GET", "/v1/sellers", OPERATOR, accounts.list_sellers, "accounts", answer=SellerList,
         listed=True),
    _row("POST", "/v1/sellers", OPERATOR, accounts.create_seller, "accounts", body=SellerBody,
         answer=NewSeller, status=201),
    _row("GET", "/v1/sellers/{seller_id}", OPERATOR, accounts.get_seller, "accounts",
         answer=SellerAnswer, faults=(404,)),
    _row("PATCH", "/v1/sellers/{seller_id}", OPERATOR, accounts.change_seller, "accounts",
         body=AccountChange, answer=SellerAnswer, faults=(404,)),
    _row("GET", "/v1/companies", OPERATOR, accounts.list_companies, "accounts",
         answer=CompanyList, listed=True),
    _row("POST", "/v1/companies", OPERATOR, accounts.create_company, "accounts", body=CompanyBody,
         answer=NewCompany, status=201),
    _row("GET", "/v1/companies/{company_id}", COMPANY | OPERATOR, accounts.get_company, "accounts",
         answer=CompanyAnswer, faults=(404,)),
    _row("PATCH", "/v1/companies/{company_id}", OPERATOR, accounts.change_company, "accounts",
         body=AccountChange, answer=CompanyAnswer, faults=(404,)),
    _row("POST", "/v1/companies/{company_id}/deposits", OPERATOR, accounts.deposit, "accounts",
         body=DepositBody, answer=CompanyAnswer, keyed=True, faults=(404, 409)),
    _row("GET", "/v1/campaigns/{campaign_id}/connections", COMPANY | OPERATOR,
         connections.get_connections, "campaigns", answer=ConnectionList, faults=(404,)),
    _row("PUT", "/v1/campaigns/{campaign_id}/connections", COMPANY | OPERATOR,
         connections.put_connections, "campaigns", body=ConnectionTestsBody, answer=ConnectionList,
         faults=(404,)),
    _row("POST", "/v1/campaigns/{campaign_id}/connection-test", COMPANY | OPERATOR,
         connections.ask_connection_test, "campaigns", answer=ConnectionTestAnswer, faults=(404,)),
    _row("GET", "/v1/alerts", COMPANY | OPERATOR, alerts.list_alerts, "alerts", answer=AlertList,
         listed=True, asked=alerts.LIST_ASKED),
    _row("GET", "/v1/alerts/kinds", COMPANY | OPERATOR, alerts.list_kinds, "alerts",
         answer=AlertKindList),
    _row("GET", "/v1/alerts/settings", OPERATOR, alerts.get_settings, "alerts",
         answer=AlertSettingsAnswer),
    _row("PUT", "/v1/alerts/settings", OPERATOR, alerts.put_settings, "alerts",
         body=AlertSettingsBody, answer=AlertSettingsAnswer),
    _row("POST", "/v1/alerts/settings/trial", OPERATOR, alerts.try_settings, "alerts",
         answer=TrialNotices),
    _row("GET", "/v1/alerts/{alert_id}", COMPANY | OPERATOR, alerts.get_alert, "alerts",
         answer=AlertAnswer, faults=(404,)),
    _row("POST", "/v1/alerts/{alert_id}/acknowledge", COMPANY | OPERATOR,
         alerts.acknowledge_alert, "alerts", answer=AlertAnswer, faults=(404, 409)),
    _row("GET", "/v1/companies/{company_id}/alerts", COMPANY | OPERATOR,
         alerts.get_company_settings, "alerts", answer=AlertSettingsAnswer, faults=(404,)),
    _row("PUT", "/v1/companies/{company_id}/alerts", COMPANY | OPERATOR,
         alerts.put_company_settings, "alerts", body=AlertSettingsBody,
         answer=AlertSettingsAnswer, faults=(404,)),
    _row("POST", "/v1/companies/{company_id}/alerts/trial", COMPANY | OPERATOR,
         alerts.try_company_settings, "alerts", answer=TrialNotices, faults=(404,)),
    _row("GET", "/v1/reports", SELLER | COMPANY | OPERATOR, reports.list_reports, "reports",
         answer=ReportList),
    _row("GET", "/v1/reports/{report}", SELLER | COMPANY | OPERATOR, reports.get_report, "reports",
         answer=ReportAnswer, asked=REPORT_QUERY, csv=True, faults=(404,)),
    _row("GET", "/v1/verticals", SELLER | COMPANY | OPERATOR, operations.list_verticals,
         "exchange", answer=VerticalList),
    _row("GET", "/", ANYONE, operations.index, "exchange", answer=Index),
    _row("GET", "/healthz", ANYONE, operations.health, "exchange", answer=Health),
    _row("GET", "/readyz", ANYONE, operations.ready, "exchange", answer=Health, faults=(503,)),
    _row("GET", "/metrics", ANYONE, operations.metrics, "exchange", text="text/plain"),
    _row("GET", "/openapi.json", ANYONE, operations.document, "exchange", answer=Document),
)
# fmt: on


class Table:
    """Finds a path's routes: at once where it has no parameters, else by its segments."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._fixed: dict[str, dict[str, Route]] = {}
        self._open: dict[int, list[tuple[tuple[str, ...], dict[str, Route]]]] = {}
        for route in routes:
            if "{" not in route.path:
                self._fixed.setdefault(route.path, {})[route.method] = route
                continue
            segments = tuple(route.path.split("/"))
            rows = self._open.setdefault(len(segments), [])
            methods = next((found for known, found in rows if known == segments), None)
            if methods is None:
                methods = {}
                rows.append((segments, methods))
            methods[route.method] = route

    def find(self, path: str) -> tuple[dict[str, Route], dict[str, str]] | None:
        """The routes of a path by method, and its parameters; None if there are none."""
        if methods := self._fixed.get(path):
            return methods, {}
        given = path.split("/")
        for segments, methods in self._open.get(len(given), ()):
            params = {}
            for wanted, segment in zip(segments, given, strict=True):
                if wanted.startswith("{"):
                    params[wanted[1:-1]] = segment
                elif wanted != segment:
                    break
            else:
                return methods, params
        return None
