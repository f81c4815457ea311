"""Contracts on the wire: what an operator records, and what each party reads (rules: §9, §12)."""

from __future__ import annotations

from typing import Any

import pytest

from exchange.core.contract import Clauses, Trial
from exchange.core.contract_rules import CONTINUED_WARNING, DISCOUNT_WARNING, TRIAL_WARNING
from exchange.core.model import CompanyId, DeliveryId, LeadId, SellerId
from exchange.core.reasons import Reason
from exchange.core.rejection import ReturnCap
from exchange.core.terms import Tier
from exchange.flow.contracts import Breach
from tests.web.bodies import CONTRACT
from tests.web.conftest import Answer, Wire
from tests.web.doubles import NOW, MemoryDoors

WHOLE: dict[str, Any] = {
    "blocked": False,
    "lead_types": ["exclusive", "shared"],
    "refusal_reasons": ["capacity_reached"],
    "return_reasons": ["invalid_contact", "duplicate"],
    "return_window_h": 72,
    "return_cap": {"period": "month", "max_count": 10, "max_pct": 7.5},
    "tiers": [
        {"min_score": 80, "add": None, "multiply": 1.25},
        {"min_score": 40, "add": -2.5, "multiply": None},
    ],
    "discount_pct": 0,
    "trial": {
        "starts_at": "2026-12-01T00:00:00Z",
        "ends_at": "2026-12-31T00:00:00Z",
        "continues": True,
        "discount_pct": 12.34,
        "return_window_h": None,
        "leads": 50,
        "spend": 2500.5,
    },
    "first_look": True,
    "reviewed": True,
}


async def make(wire: Wire, terms: object, **more: object) -> Answer:
    return await wire.call(
        "POST", "/v1/contracts", CONTRACT | {"terms": terms} | more, key="operator"
    )


def clauses(doors: MemoryDoors) -> Clauses:
    (record,) = doors.kept_contracts.records.values()
    return record.versions[-1].clauses


async def test_section_9_every_clause_is_read_and_shown_as_it_was_given(wire: Wire) -> None:
    made = await make(wire, WHOLE)
    assert made.status == 201, made.body
    assert made.json["versions"][0]["terms"] == WHOLE
    trial = clauses(wire.doors).trial
    assert trial is not None
    assert clauses(wire.doors) == Clauses(
        refusal_reasons=(Reason.CAPACITY_REACHED,),
        return_reasons=(Reason.INVALID_CONTACT, Reason.DUPLICATE_LEAD),
        return_window_s=72 * 3600,
        return_cap=ReturnCap(period="month", count=10, rate_bp=750),
        tiers=(Tier(min_score=80, multiply_bp=12_500), Tier(min_score=40, add_cents=-250)),
        trial=Trial(
            starts_at=trial.starts_at,
            ends_at=trial.ends_at,
            continues=True,
            discount_bp=1_234,
            leads=50,
            spend_cents=2_500_50,
        ),
        first_look=True,
        reviewed=True,
    )


async def test_section_9_what_is_left_out_is_as_without_a_contract(wire: Wire) -> None:
    assert (await make(wire, {})).status == 201
    assert clauses(wire.doors) == Clauses()


async def test_section_9_a_discount_is_shown_with_its_warning(wire: Wire) -> None:
    made = await make(wire, {"discount_pct": 7.5})
    assert made.json["versions"][0]["warnings"] == [DISCOUNT_WARNING]
    assert clauses(wire.doors).discount_bp == 750
    plain = await make(wire, {})
    assert plain.json["versions"][0]["warnings"] == []


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"return_reasons": ["because"]}, "terms.return_reasons[0]"),
        ({"refusal_reasons": ["duplicate", "because"]}, "terms.refusal_reasons[1]"),
        ({"return_window_h": 23}, "terms.return_window_h"),
        ({"discount_pct": 101}, "terms.discount_pct"),
        ({"discount_pct": " 5"}, "terms.discount_pct"),
        ({"tiers": [{"min_score": 9}, {"min_score": 5, "add": "1e1"}]}, "terms.tiers[1].add"),
        ({"discount_pct": 1.234}, "terms.discount_pct"),
        ({"return_cap": {"period": "month", "max_pct": -1}}, "terms.return_cap.max_pct"),
        ({"return_cap": {"period": "week", "max_count": 1}}, "terms.return_cap.period"),
        ({"tiers": [{"min_score": 101}]}, "terms.tiers[0].min_score"),
        ({"tiers": [{"min_score": 1, "multiply": 0}]}, "terms.tiers[0].multiply"),
        ({"tiers": [{"min_score": 1, "multiply": 10.5}]}, "terms.tiers[0].multiply"),
        ({"tiers": [{"min_score": 1, "add": 1.005}]}, "terms.tiers[0].add"),
        ({"trial": WHOLE["trial"] | {"leads": 0}}, "terms.trial.leads"),
        ({"trial": WHOLE["trial"] | {"spend": -1}}, "terms.trial.spend"),
        ({"lead_types": ["half"]}, "terms.lead_types[0]"),
        ({"discount": 5}, "terms.discount"),
    ],
)
async def test_section_9_terms_that_cannot_be_read_are_refused_with_their_place(
    wire: Wire, terms: dict[str, Any], field: str
) -> None:
    refused = await make(wire, terms)
    assert refused.status == 422
    assert refused.json["field"] == field


@pytest.mark.parametrize(
    "moment", ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"], ids=["last", "first"]
)
async def test_a_time_beyond_the_calendar_is_refused_wherever_a_contract_takes_one(
    wire: Wire, moment: str
) -> None:
    made = await make(wire, {})
    path = f"/v1/contracts/{made.json['contract_id']}"
    trial = {"starts_at": "2026-12-01T00:00:00Z", "ends_at": "2026-12-31T00:00:00Z"}
    for place, body, field in [
        ("/v1/contracts", CONTRACT | {"terms": {}, "effective_from": moment}, "effective_from"),
        (f"{path}/versions", {"terms": {}, "effective_to": moment}, "effective_to"),
        (f"{path}/end", {"effective_to": moment}, "effective_to"),
        *(
            (
                f"{path}/versions",
                {"terms": {"trial": trial | {name: moment}}},
                f"terms.trial.{name}",
            )
            for name in trial
        ),
    ]:
        refused = await wire.call("POST", place, body, key="operator")
        assert (refused.status, refused.json["field"]) == (422, field)


@pytest.mark.parametrize("percent", [100, 101, -1])
async def test_section_9_a_discount_beyond_its_bounds_is_told_the_same_bounds(
    wire: Wire, percent: int
) -> None:
    trial = WHOLE["trial"] | {"discount_pct": percent}
    for terms, field in (
        ({"discount_pct": percent}, "terms.discount_pct"),
        ({"trial": trial}, "terms.trial.discount_pct"),
    ):
        refused = await make(wire, terms)
        assert refused.json["detail"] == f"{field} must be from 0 to 99.99."


async def test_section_9_a_history_says_what_became_of_each_version(wire: Wire) -> None:
    made = await make(wire, {}, effective_from="2026-11-01T00:00:00Z")
    path = f"/v1/contracts/{made.json['contract_id']}"
    later = {"effective_from": "2027-01-01T00:00:00Z", "terms": {"blocked": True}}
    assert (await wire.call("POST", f"{path}/versions", later, key="operator")).status == 201
    now = {"terms": {"discount_pct": 5}}
    shown = (await wire.call("POST", f"{path}/versions", now, key="operator")).json
    assert [one["status"] for one in shown["versions"]] == ["superseded", "withdrawn", "in_force"]
    assert (shown["status"], shown["version"]) == ("in_force", 3)
    ended = (await wire.call("POST", f"{path}/end", {}, key="operator")).json
    assert (ended["status"], ended["version"]) == ("ended", None)


async def test_section_9_a_version_that_withdraws_a_scheduled_one_says_so(wire: Wire) -> None:
    made = await make(wire, {}, effective_from="2026-11-01T00:00:00Z")
    path = f"/v1/contracts/{made.json['contract_id']}"

    async def warned(place: str, body: dict[str, Any]) -> list[str]:
        answer = await wire.call("POST", f"{path}/{place}", body, key="operator")
        warnings: list[str] = answer.json["versions"][-1]["warnings"]
        return warnings

    december, january = "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"
    assert await warned("versions", {"effective_from": january, "terms": {}}) == []
    withdrawn = f"Version 2, scheduled for {january}, is withdrawn: "
    (told,) = await warned("versions", {"effective_from": december, "terms": {"first_look": True}})
    assert told == f"{withdrawn}this one is newer and takes effect no later."
    # What was withdrawn before is not told again.
    (told,) = await warned("versions", {"terms": {"reviewed": True}})
    assert told.startswith(f"Version 3, scheduled for {december}, is withdrawn: ")
    assert await warned("end", {"effective_to": january}) == []


async def test_section_9_a_trial_that_is_over_before_it_begins_to_hold_is_warned_of(
    wire: Wire,
) -> None:
    trial = {"starts_at": "2026-10-01T00:00:00Z", "ends_at": "2026-11-01T00:00:00Z"}
    for continues, warning in ((False, TRIAL_WARNING), (True, CONTINUED_WARNING)):
        terms = {"trial": trial | {"continues": continues}}
        made = await make(wire, terms, effective_from="2026-12-01T00:00:00Z")
        assert made.json["versions"][0]["warnings"] == [warning]
    running = trial | {"ends_at": "2026-12-31T00:00:00Z"}
    assert (await make(wire, {"trial": running})).json["versions"][0]["warnings"] == []


async def test_section_12_each_party_reads_its_own_contracts_only(wire: Wire) -> None:
    mine = (await make(wire, {})).json["contract_id"]
    await make(wire, {}, seller_id="seller-2", company_id="company-2")
    for key in ("seller", "company"):
        listed = (await wire.call("GET", "/v1/contracts", key=key)).json["items"]
        assert [one["contract_id"] for one in listed] == [mine]
        assert (await wire.call("GET", "/v1/contracts/contract-2", key=key)).status == 404
        others = await wire.call("GET", f"/v1/contracts?{key}_id={key}-2", key=key)
        assert others.json["items"] == []
    assert len((await wire.call("GET", "/v1/contracts", key="operator")).json["items"]) == 2


async def test_an_operator_finds_the_contract_of_a_pair(wire: Wire) -> None:
    await make(wire, {})
    await make(wire, {}, seller_id="seller-2")
    found = await wire.call(
        "GET", "/v1/contracts?seller_id=seller-2&company_id=company-1", key="operator"
    )
    assert [one["seller_id"] for one in found.json["items"]] == ["seller-2"]
    for name in ("seller_id", "company_id"):
        nobody = await wire.call("GET", f"/v1/contracts?{name}=nope", key="operator")
        assert (nobody.status, nobody.json["field"]) == (422, name)
    wrong = await wire.call("GET", "/v1/contracts?seller_id=a.b", key="operator")
    assert (wrong.status, wrong.json["field"]) == (422, "seller_id")


async def test_contracts_come_in_pages(wire: Wire) -> None:
    for _ in range(3):
        await make(wire, {})
    first = (await wire.call("GET", "/v1/contracts?limit=2", key="operator")).json
    rest = await wire.call("GET", f"/v1/contracts?limit=2&after={first['next']}", key="operator")
    assert [len(first["items"]), len(rest.json["items"])] == [2, 1]


async def test_section_9_refusals_outside_the_contract_are_listed_with_the_clause(
    wire: Wire,
) -> None:
    contract_id = (await make(wire, {})).json["contract_id"]
    await wire.doors.contracts.note_breach(
        Breach(
            delivery_id=DeliveryId("delivery-1"),
            lead_id=LeadId("lead-1"),
            seller_id=SellerId("seller-1"),
            company_id=CompanyId("company-1"),
            contract_id=contract_id,
            version=1,
            clause="refusal_reasons",
            reason=Reason.OFF_HOURS,
            noted_at=NOW,
        )
    )
    for key in ("seller", "company", "operator"):
        told = (await wire.call("GET", f"/v1/contracts/{contract_id}/refusals", key=key)).json
        (one,) = told["items"]
        assert (one["clause"], one["version"]) == ("refusal_reasons", 1)
        assert one["reason"]["code"] == "off_hours"
    other = await wire.call("GET", f"/v1/contracts/{contract_id}/refusals", key="other-company")
    assert other.status == 404


async def test_an_idempotency_key_goes_with_the_contract(wire: Wire) -> None:
    body = CONTRACT | {"terms": {}}
    await wire.call(
        "POST", "/v1/contracts", body, key="operator", headers={"Idempotency-Key": "k-1"}
    )
    assert wire.doors.kept_contracts.keys == ["k-1"]
