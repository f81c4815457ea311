"""A receipt with every campaign, as each role may see it (rules: §7, §12)."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from exchange.core.model import CampaignId, CompanyId
from exchange.core.reasons import Reason
from exchange.core.retell import Difference, Open, Retold
from exchange.flow.retelling import RetoldReceipt
from tests.web.bodies import PING
from tests.web.conftest import Wire


@pytest.fixture
async def path(wire: Wire) -> str:
    """A receipt of two companies' campaigns, a third of which nothing is known."""
    ping_id = (await wire.call("POST", "/v1/ping", PING)).json["ping_id"]
    receipt = replace(wire.doors.receipts[ping_id], market=9)
    wire.doors.retold = RetoldReceipt(
        receipt=receipt,
        source="recomputed",
        retold=Retold(
            candidates=receipt.candidates,
            open=(
                Open(
                    campaign_id=CampaignId("campaign-3"),
                    company_id=CompanyId("company-2"),
                    why="campaign_version",
                ),
            ),
            differences=(
                Difference(kind="count", reason=Reason.FILTER.code, told=41, found=40),
                Difference(kind="line", campaign_id=CampaignId("campaign-1"), told=1, found=2),
            ),
            moving=(CampaignId("campaign-2"),),
        ),
    )
    return f"/v1/pings/{ping_id}"


async def test_an_operator_reads_every_campaign_and_whether_all_is_known(
    wire: Wire, path: str
) -> None:
    whole = (await wire.call("GET", f"{path}?campaigns=all", key="operator")).json
    assert [(one["campaign_id"], one["outcome"]) for one in whole["candidates"]] == [
        ("campaign-1", "won"),
        ("campaign-2", "no_bid"),
        ("campaign-3", "not_known"),
    ]
    assert whole["candidates"][2]["why_not_known"] == "campaign_version"
    told: dict[str, Any] = whole["recomputed"]
    assert told.pop("assumptions")
    assert told == {
        "source": "recomputed",
        "exact": False,
        "campaigns": 3,
        "market_version": 9,
        "differences": [
            {"kind": "count", "reason": "filter", "told": 41, "found": 40},
            {"kind": "line", "campaign_id": "campaign-1", "told": 1, "found": 2},
        ],
        "not_known": {"campaign_version": 1},
        "moving": ["campaign-2"],
    }
    named = (await wire.call("GET", f"{path}?campaigns=named", key="operator")).json
    assert len(named["candidates"]) == 2 and "recomputed" not in named


async def test_a_company_reads_what_became_of_its_own_campaigns_alone(
    wire: Wire, path: str
) -> None:
    first = await wire.call("GET", path, key="company")
    assert [one["campaign_id"] for one in first.json["candidates"]] == ["campaign-1"]
    assert set(first.json) == {
        "ping_id", "vertical", "decided_at", "source", "exact", "candidates",
    }  # fmt: skip
    assert b"company-2" not in first.body and b"94107" not in first.body
    second = await wire.call("GET", f"{path}?campaigns=all", key="other-company")
    assert [one["campaign_id"] for one in second.json["candidates"]] == ["campaign-2", "campaign-3"]
    assert b"company-1" not in second.body
    wire.doors.retold = RetoldReceipt(
        receipt=wire.doors.retold.receipt if wire.doors.retold else wire.doors.receipts[path],
        source="receipt",
        retold=Retold(candidates=()),
    )
    assert (await wire.call("GET", path, key="company")).status == 404


@pytest.mark.parametrize(
    ("key", "query", "status"),
    [
        ("seller", "campaigns=all", 403),
        ("seller", "campaigns=named", 200),
        ("company", "campaigns=named", 422),
        ("operator", "campaigns=some", 422),
        ("operator", "campaign=all", 422),
    ],
)
async def test_who_may_ask_for_which_campaigns(
    wire: Wire, path: str, key: str, query: str, status: int
) -> None:
    assert (await wire.call("GET", f"{path}?{query}", key=key)).status == status
