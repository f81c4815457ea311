"""The demo market's file, as it ships and as it must not be."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from exchange.core.market import Market
from exchange.core.model import CampaignId, CompanyId, Policy
from exchange.demo.faults import DemoFailed
from exchange.demo.market_file import (
    DemoCompanyFile,
    decode_campaign,
    read_market_file,
    with_crm_urls,
)
from exchange.settings import PACKAGED_CONFIG
from exchange.verticals_file import read_verticals
from exchange.web.campaign_codec import read_campaign

CRMS = {name: f"http://127.0.0.1:8090/crm/{name}/leads" for name in
        ("good", "slow", "failing", "refusing")}  # fmt: skip
SHIPPED = read_market_file()
MARKET = Market(read_verticals(PACKAGED_CONFIG / "verticals"), Policy(), date(2026, 11, 21))


def solar_campaigns(company: DemoCompanyFile) -> list[dict[str, object]]:
    return [body for body in company.campaigns if body["vertical"] == "solar"]


def test_four_companies_want_solar_leads_each_at_a_crm_of_its_own() -> None:
    wanting = [company for company in SHIPPED.companies if solar_campaigns(company)]
    assert [company.crm for company in wanting] == ["good", "slow", "failing", "refusing"]


def test_every_vertical_has_a_buyer() -> None:
    wanted = {body["vertical"] for company in SHIPPED.companies for body in company.campaigns}
    assert wanted == set(MARKET.verticals)


@pytest.mark.parametrize("company", SHIPPED.companies, ids=lambda company: company.name)
def test_every_campaign_can_be_saved(company: DemoCompanyFile) -> None:
    for body in company.campaigns:
        campaign = read_campaign(
            decode_campaign(with_crm_urls(body, CRMS)), CampaignId("c"), CompanyId("d"), 5
        )
        MARKET.compile(campaign)


def test_the_failing_crm_has_no_backup_so_that_its_failures_count() -> None:
    (failing,) = [company for company in SHIPPED.companies if company.crm == "failing"]
    for body in failing.campaigns:
        assert body["delivery"] == [{"kind": "http", "url": "crm:failing"}]


def test_deliveries_go_to_where_the_crms_are() -> None:
    body = with_crm_urls(SHIPPED.companies[0].campaigns[0], CRMS)
    assert body["delivery"] == [{"kind": "http", "url": CRMS["good"]}]


def test_a_crm_that_is_not_there_is_named() -> None:
    with pytest.raises(DemoFailed, match="no CRM is named good; there are slow"):
        with_crm_urls(SHIPPED.companies[0].campaigns[0], {"slow": CRMS["slow"]})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("seller = ", "is no demo market"),
        ("companies = []", "missing required field `seller`"),
        ('seller = "S"\nbuyers = []\ncompanies = []', "unknown field `buyers`"),
        (
            'seller = "S"\n[[companies]]\nname = "C"\n'
            '[[companies.campaigns]]\nname = "Roofs"\nvertical = "solar"\nbid = {exclusive = "x"}',
            r"C, campaign Roofs: .*bid.exclusive",
        ),
    ],
    ids=["not TOML", "no seller", "unknown key", "a bid that is no price"],
)
def test_a_file_at_fault_is_refused_saying_where(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "market.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(DemoFailed, match=told):
        read_market_file(path)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DemoFailed, match="cannot be read: No such file"):
        read_market_file(tmp_path / "none.toml")
