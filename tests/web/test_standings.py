"""Standings, their history, what-ifs and dynamic factors on the wire (rules: §10, §12)."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from msgspec import Raw
from msgspec.structs import replace

from exchange.core.auction import Candidate
from exchange.core.dynamic import Bounds, DynamicPolicy
from exchange.core.model import CampaignId, CompanyId, PingId, SellerId
from exchange.core.reasons import Reason
from exchange.flow.ports import Receipt
from exchange.flow.what_if import WhatIf
from exchange.web.queries import wants_csv
from tests.web.conftest import Answer, Wire
from tests.web.doubles import NOW
from tests.web.standing_doubles import standings_over

STANDING = "/v1/companies/company-1/standing"
HISTORY = f"{STANDING}/history"
WHAT_IF = "/v1/companies/company-1/what-if"


def exact(answer: Answer) -> Any:
    """An answer whose money and rates are as they were written."""
    assert answer.status == 200, answer.body
    return json.loads(answer.body, parse_float=Decimal)


async def get(wire: Wire, path: str, key: str = "company") -> Any:
    return exact(await wire.call("GET", path, key=key))


async def test_a_standing_shows_sums_raw_and_rates_as_they_count(wire: Wire) -> None:
    answer = await wire.call("GET", STANDING, key="company")
    assert answer.body.decode().startswith(
        '{"company_id":"company-1","verdict":"conditional","protected":false,'
        '"protection_left":0.00,"window":{"from":"2026-10-23","to":"2026-11-21","days":30},'
        '"assigned":550000.00,"rejected_manual":39900.00,"rejected_crm":6850.00,'
        '"overall_pct":8.50,"crm_pct":1.25,"crm":{"since":null,"assigned":548000.00,'
        '"rejected":6850.00,"threshold_pct":10.00},"price_of_100":91.50,"days":['
        '{"day":"2026-11-20","assigned":10000.00,"manual":39800.00,"crm":0.00,'
        '"counted":39800.00,"weight":1,"overall_points":7.2364,"leaves_on":"2026-12-20"},'
        '{"day":"2026-11-21","assigned":540000.00,"manual":100.00,"crm":6850.00,'
        '"counted":6950.00,"weight":1,"overall_points":1.2636,"leaves_on":"2026-12-21"}],'
    )
    assert (
        await wire.call("GET", "/v1/companies/company-9/standing", key="operator")
    ).status == 404


async def test_section_12_a_standing_writes_its_divisions_out(wire: Wire) -> None:
    told = (await get(wire, STANDING))["explained"]
    assert told["overall"] == {
        "pct": Decimal("8.50"),
        "ratio": "4675000/55000000",
        "formula": ("(39,900.00 manual + 6,850.00 CRM) ÷ 550,000.00 assigned × 100 = 8.50"),
    }
    assert told["crm"]["formula"] == "6,850.00 CRM ÷ 548,000.00 assigned × 100 = 1.25"
    assert told["verdict"] == [
        "CRM 1.25 % is not above 10.00 %: campaigns may bid.",
        "Overall 8.50 % is not below 5.00 %: no first look at premium leads.",
    ]
    assert told["price"] == "A $100.00 bid is worth 91.50."
    assert told["half_life_days"] is None


async def test_section_12_a_standing_tells_what_would_lift_it(wire: Wire) -> None:
    told = (await get(wire, STANDING))["explained"]
    assert told["bids"] == {"reached": True, "clean_leads": Decimal("0.00"), "from_day": None}
    assert told["qualified"]["clean_leads"] == Decimal("385000.01")
    assert told["qualified"]["from_day"] == "2026-12-20"
    assert told["ahead"][-1]["verdict"] == "qualified"
    steps = [(step["step"], step["kind"]) for step in told["path"]]
    assert steps == [
        (1, "conditional"), (2, "mend"), (3, "crm_reset"), (4, "clean_leads"), (5, "wait"),
    ]  # fmt: skip
    assert "invalid_contact (798 leads, $39,900.00)" in told["path"][1]["text"]


async def test_a_return_whose_text_nobody_has_read_has_no_category_yet(wire: Wire) -> None:
    causes = (await get(wire, STANDING))["explained"]["causes"]
    told = [(cause["reason"], cause["category"]) for cause in causes]
    assert told == [
        ("invalid_contact", "quality"), ("reason_unclear", None), ("auth_failure", "technical"),
    ]  # fmt: skip


async def test_a_reset_that_was_asked_for_is_told_and_not_asked_for_again(wire: Wire) -> None:
    assert (await get(wire, STANDING))["explained"]["reset"]["may_ask"] is True
    wire.doors.past.asked_at = NOW
    reset = (await get(wire, STANDING))["explained"]["reset"]
    assert (reset["may_ask"], reset["asked_at"]) == (False, "2026-11-21T22:40:00Z")
    assert reset["then"]["overall_pct"] == Decimal("7.25")


async def test_section_12_history_tells_each_day_to_its_end(wire: Wire) -> None:
    told = await get(wire, f"{HISTORY}?from=2026-11-20&to=2026-11-21&step=day")
    assert (told["from"], told["to"], told["step"]) == ("2026-11-20", "2026-11-21", "day")
    first, last = told["days"]
    assert (first["day"], first["assigned"]) == ("2026-11-20", Decimal("10000.00"))
    assert (last["overall_pct"], last["price_of_100"]) == (Decimal("8.50"), Decimal("91.50"))
    assert last["window_assigned"] == Decimal("550000.00") and last["shadow"] is None


async def test_a_history_that_names_no_days_is_of_the_last_30(wire: Wire) -> None:
    told = await get(wire, HISTORY)
    assert (told["from"], told["to"], len(told["days"])) == ("2026-10-23", "2026-11-21", 30)


async def test_a_history_can_be_had_as_csv(wire: Wire) -> None:
    path = f"{HISTORY}?from=2026-11-20"
    answer = await wire.call("GET", path, key="company", headers={"Accept": "text/csv"})
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.body.decode())))
    days = (await get(wire, path))["days"]
    for row, day in zip(rows, days, strict=True):
        assert {name: row[name] for name in ("day", "verdict")} == {
            "day": day["day"],
            "verdict": day["verdict"],
        }
        for name in ("assigned", "overall_pct", "price_of_100", "window_crm"):
            assert Decimal(row[name]) == day[name]
        assert row["shadow_verdict"] == ""
    assert answer.body.count(b"\r\n") == len(rows) + 1


@pytest.mark.parametrize(
    ("accept", "csv"),
    [
        ("", False),
        ("*/*", False),
        ("text/csv", True),
        ("application/json", False),
        ("text/csv, application/json", False),
        ("text/csv, application/json;q=0.9", True),
        ("application/json, text/csv;q=0.5", False),
        ("text/csv;q=0", False),
        ("TEXT/CSV; q=1", True),
        ("text/csv;q=x", False),
    ],
)
def test_csv_is_for_those_who_would_rather_have_it(accept: str, csv: bool) -> None:
    assert wants_csv({"Accept": accept} if accept else {}) is csv


@pytest.mark.parametrize(
    ("path", "field"),
    [
        (f"{HISTORY}?from=2026-11-22", "from"),
        (f"{HISTORY}?to=2026-11-22", "to"),
        (f"{HISTORY}?from=2026-11-21&to=2026-11-20", "from"),
        (f"{HISTORY}?from=2025-11-20&to=2026-11-21", "from"),
        (f"{HISTORY}?from=20261120", "from"),
        (f"{HISTORY}?from=2026-02-30", "from"),
        (f"{HISTORY}?from=1999-12-31", "from"),
        (f"{HISTORY}?step=week", "step"),
        (f"{HISTORY}?colour=red", "colour"),
        (f"{WHAT_IF}?overall=101", "overall"),
        (f"{WHAT_IF}?overall=-1", "overall"),
        (f"{WHAT_IF}?crm=1.001", "crm"),
        (f"{WHAT_IF}?crm=x", "crm"),
        (f"{WHAT_IF}?day=2026-11-22", "day"),
        (f"{WHAT_IF}?day=2026-08-22", "day"),
        (f"{WHAT_IF}?day=noon", "day"),
        (f"{WHAT_IF}?limit=5", "limit"),
    ],
)
async def test_a_wrong_query_is_refused_with_its_name(wire: Wire, path: str, field: str) -> None:
    answer = await wire.call("GET", path, key="company")
    assert (answer.status, answer.json["field"]) == (422, field), answer.body


@pytest.mark.parametrize("path", ["standing", "standing/history", "what-if"])
async def test_no_one_sees_another_s_standing_and_nobody_one_that_is_not(
    wire: Wire, path: str
) -> None:
    for key, company in (("other-company", "company-1"), ("operator", "company-9")):
        answer = await wire.call("GET", f"/v1/companies/{company}/{path}", key=key)
        assert (answer.status, answer.json["code"]) == (404, "not_found")


def receipt_of(number: int, **changes: Any) -> Receipt:
    """Yesterday company-1 bid $50.00 worth $45.75, and another took the lead for $46.00."""

    def bid(company: str, base: int, rejected: int, rank: int) -> Candidate:
        worth = base * (1000 - rejected) // 1000
        return Candidate(
            campaign_id=CampaignId(f"campaign-of-{company}"),
            company_id=CompanyId(company),
            outcome="won" if rank == 1 else "lost",
            reason=None if rank == 1 else Reason.OUTBID,
            share=1,
            base_cents=base,
            rejected=rejected,
            assigned=1000,
            rectified_cents=worth,
            charged_cents=worth,
            rank=rank,
            draw=rank,
        )

    receipt = Receipt(
        ping_id=PingId(f"ping-{number:05d}"),
        seller_id=SellerId("seller-1"),
        vertical="solar",
        attributes=Raw(b'{"zip":"94107","state":"CA"}'),
        status="offer",
        decided_at=NOW - timedelta(days=1) + timedelta(seconds=number),
        reasons={"outbid": 1},
        candidates=(bid("company-2", 46_00, 0, 1), bid("company-1", 50_00, 85, 2)),
    )
    return replace(receipt, **changes)


async def test_section_12_what_would_have_been_won_at_3_percent(wire: Wire) -> None:
    wire.doors.past.kept = [receipt_of(number) for number in range(120)]
    told = await get(wire, f"{WHAT_IF}?overall=3.0&crm=1.0&day=yesterday")
    assert (told["receipts_read"], told["took_part"], told["cut"]) == (120, 120, None)
    assert told["before"] == {"auctions_won": 0, "spend": Decimal("0.00")}
    assert told["after"] == {"auctions_won": 120, "spend": Decimal("5820.00")}
    assert (told["newly_won"], told["no_longer_won"], told["repriced"]) == (120, 0, 0)
    assert told["assumed"]["price_of_100"] == Decimal("97.00")
    assert told["bought"] == {"leads": 2, "spend": Decimal("91.50")}
    assert len(told["changes"]) == 100
    assert told["changes"][0] == {
        "ping_id": "ping-00000",
        "vertical": "solar",
        "decided_at": "2026-11-20T22:40:00Z",
        "before": {
            "won": False,
            "rank": 2,
            "share": 1,
            "campaign_id": "campaign-of-company-1",
            "base": Decimal("50.00"),
        },
        "after": {
            "won": True,
            "rank": 1,
            "share": 1,
            "campaign_id": "campaign-of-company-1",
            "base": Decimal("50.00"),
            "charged": Decimal("48.50"),
        },
    }


async def test_as_it_stands_the_company_wins_what_it_won(wire: Wire) -> None:
    wire.doors.past.kept = [receipt_of(1)]
    told = await get(wire, WHAT_IF)
    assert told["before"] == told["after"] and told["changes"] == []
    assert told["present"] == told["assumed"]


async def test_what_if_tells_where_it_stopped_reading(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exchange.flow.what_if.MOST_RECEIPTS", 100)
    wire.doors.past.kept = [receipt_of(number) for number in range(120)]
    told = await get(wire, f"{WHAT_IF}?overall=3")
    assert told["receipts_read"] == 100
    assert told["cut"] == {"by": "receipts", "until": "2026-11-20T22:41:39Z"}


async def test_what_if_ends_at_its_deadline(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exchange.flow.what_if.DEADLINE_S", -1.0)
    wire.doors.past.kept = [receipt_of(1)]
    told = await get(wire, f"{WHAT_IF}?overall=3")
    assert (told["receipts_read"], told["cut"]["by"]) == (0, "time")


async def test_only_one_what_if_is_answered_at_a_time(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire.doors.standings.what_if, "_busy", True)
    answer = await wire.call("GET", WHAT_IF, key="company")
    assert (answer.status, answer.json["code"]) == (503, "unavailable")
    assert answer.headers["Retry-After"] == "5"


async def test_a_question_that_failed_leaves_room_for_the_next(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    what_if: WhatIf = wire.doors.standings.what_if
    with monkeypatch.context() as patch:
        patch.setattr(what_if, "_books", None)
        assert (await wire.call("GET", WHAT_IF, key="company")).status == 500
    assert (await wire.call("GET", WHAT_IF, key="company")).status == 200


async def test_section_10_off_shows_nothing_of_it(wire: Wire) -> None:
    assert (await get(wire, STANDING))["dynamic"] is None
    told = await get(wire, "/v1/dynamic", key="operator")
    assert (told["mode"], told["days"]) == ("off", [])


@pytest.mark.parametrize("mode", ["shadow", "apply"])
async def test_section_10_the_published_factors_are_shown_with_their_arithmetic(
    wire: Wire, mode: Any
) -> None:
    doors = wire.doors
    policy = DynamicPolicy(mode=mode, bounds=Bounds(least_cents=0))
    doors.standings, _, dynamics = standings_over(doors.market, doors.registry, doors.clock, policy)
    await dynamics.follow(NOW)
    standing = await get(wire, STANDING)
    told = standing["dynamic"]
    assert told["threshold"] == "10.00 % × (1 + 0.0230 − 0.0110) = 10.12 %"
    assert (told["market"]["pct"], told["seasonal"]["pct"]) == (Decimal("2.30"), Decimal("-1.10"))
    assert (told["mode"], told["applied"]) == (mode, mode == "apply")
    in_force = "10.12" if mode == "apply" else "10.00"
    assert standing["crm"]["threshold_pct"] == Decimal(in_force)
    shown = await get(wire, "/v1/dynamic", key="operator")
    assert [day["day"] for day in shown["days"]] == ["2026-11-21", "2026-11-22"]
    assert shown["days"][0]["applied"] is (mode == "apply")
    last = (await get(wire, HISTORY))["days"][-1]
    assert last["threshold_pct"] == Decimal(in_force)
    assert (last["shadow"] is None) is (mode == "apply")
