"""The market a worker decides from: campaigns, standings and usage, held in memory.

State without I/O: changes come in as values, newest wins field by field, so that changes may
arrive in any order and twice. Source: rules §3–§5; the stores send the changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

from msgspec.structs import replace

from exchange.core.changes import CampaignChange, CompanyChange
from exchange.core.company import Company
from exchange.core.contract_book import ContractBook
from exchange.core.dynamic import DayFactors
from exchange.core.filters import Predicate, compile_filter
from exchange.core.index import VerticalIndex
from exchange.core.model import Campaign, CampaignId, CompanyId, Policy
from exchange.core.runner import Runner, compile_runner
from exchange.core.standing import Standing, weigh, window_start
from exchange.core.verticals import Vertical


class Market:
    """Every campaign and company this worker trades, as of the changes applied so far."""

    def __init__(self, verticals: Iterable[Vertical], policy: Policy, today: date) -> None:
        self.policy = policy
        self.today = today
        self.verticals = {vertical.name: vertical for vertical in verticals}
        self.premium: dict[str, Predicate] = {
            vertical.name: compile_filter(vertical.premium, vertical, "premium")
            for vertical in self.verticals.values()
            if vertical.premium is not None
        }
        self.companies: dict[CompanyId, Company] = {}
        self.standings: dict[CompanyId, Standing] = {}
        self.contracts = ContractBook()
        self.indexes = {
            vertical.name: VerticalIndex(
                vertical, self.companies, self.standings, policy, contracts=self.contracts
            )
            for vertical in self.verticals.values()
        }
        self.campaign_versions: dict[CampaignId, int] = {}
        # The newest of them: which versions of campaigns an auction was held over.
        self.version = 0
        self._traded_as: dict[CampaignId, str] = {}

    def runners(self, vertical: str) -> Iterable[Runner]:
        """Every campaign of a vertical."""
        return self.indexes[vertical].runners.values()

    def apply_company(self, change: CompanyChange) -> None:
        """Take in a company's change; its standing is weighed anew at once."""
        company = self.companies.get(change.company_id)
        if company is None:
            company = self.companies[change.company_id] = Company(change.company_id)
        company.apply(change)
        self.standings[change.company_id] = weigh(company.window, self.today, self.policy)
        self._judge(change.company_id)

    def apply_campaign(self, change: CampaignChange) -> None:
        """Take in a campaign's change. Raises FilterError if it does not fit its vertical."""
        campaign_id = change.campaign_id
        if change.version <= self.campaign_versions.get(campaign_id, -1):
            return
        runner = None if change.campaign is None else self.compile(change.campaign)
        self.campaign_versions[campaign_id] = change.version
        self.version = max(self.version, change.version)
        old_vertical = self._traded_as.pop(campaign_id, None)
        if old_vertical is not None:
            self.indexes[old_vertical].remove(campaign_id)
        if runner is not None:
            self._traded_as[campaign_id] = runner.campaign.vertical
            self.indexes[runner.campaign.vertical].add(runner)

    def compile(self, campaign: Campaign) -> Runner:
        """Compile a campaign against its vertical. Raises FilterError, KeyError if unknown."""
        return compile_runner(campaign, self.verticals[campaign.vertical])

    def move_to(self, today: date) -> None:
        """Move every window to a new day (at midnight); nothing happens on the same day."""
        if today == self.today:
            return
        self.today = today
        first = window_start(today, self.policy)
        for company_id, company in self.companies.items():
            company.forget_before(first)
            self.standings[company_id] = weigh(company.window, today, self.policy)
            self._judge(company_id)

    def adjust(self, adjustments: Mapping[date, DayFactors]) -> None:
        """Take the days on which thresholds and penalties move; standings are weighed anew."""
        before = self.policy.adjustments.get(self.today)
        self.policy = replace(self.policy, adjustments=adjustments)
        if adjustments.get(self.today) == before:
            return
        for company_id, company in self.companies.items():
            self.standings[company_id] = weigh(company.window, self.today, self.policy)
            self._judge(company_id)

    def campaign(self, campaign_id: CampaignId) -> Campaign | None:
        """The campaign of that id, whatever its vertical."""
        runner = self.runner(campaign_id)
        return None if runner is None else runner.campaign

    def runner(self, campaign_id: CampaignId) -> Runner | None:
        """The campaign of that id as it is compiled, whatever its vertical."""
        vertical = self._traded_as.get(campaign_id)
        return None if vertical is None else self.indexes[vertical].runners[campaign_id]

    def quote_all(self) -> None:
        """Reckon what every campaign bids now, before the first ping asks."""
        for index in self.indexes.values():
            index.quote_all()

    def _judge(self, company_id: CompanyId) -> None:
        for index in self.indexes.values():
            index.judge(company_id)
