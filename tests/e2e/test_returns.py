"""Returns from outside: by the file, reviewed, disputed and reversed. Source: rules §8, §12."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from functools import partial

import pytest

from tests.e2e.running import OPERATOR_KEY, Running, until
from tests.e2e.wire import (
    ATTRIBUTES,
    Account,
    Json,
    Wire,
    line_to_each_worker,
    paid_to_seller,
    person,
)

pytestmark = pytest.mark.e2e

FOLLOW_S = 1.0
UTAH: Json = {"attributes": {**ATTRIBUTES, "state": "UT"}}


async def sold(wire: Wire, count: int) -> tuple[Account, Account, list[str]]:
    """A company that alone buys in Utah, a seller, and so many leads it bought."""
    seller, company = await wire.seller(), await wire.company()
    await wire.campaign(company, "100.00", filter={"field": "state", "op": "=", "value": "UT"})
    leads = [(await wire.sell(seller, person(n), **UTAH))["lead_id"] for n in range(count)]
    return seller, company, leads


async def send(wire: Wire, company: Account, file: str, query: str = "") -> list[dict[str, str]]:
    headers = {"Content-Type": "text/csv", "Accept": "text/csv"}
    answer = await wire.call("POST", f"/v1/returns{query}", company.key, file.encode(), headers)
    assert answer.status == 200, answer.body
    return list(csv.DictReader(io.StringIO(answer.body.decode())))


async def test_section_8_a_file_of_returns_and_a_dispute_price_the_next_ping_on_every_worker(
    wire: Wire, running: Running
) -> None:
    seller, company, leads = await sold(wire, 4)
    file = "\n".join(
        [
            "lead_id,reason,note",
            f"{leads[0]},invalid_contact,rang twice",
            '"no such lead,seasonal,',
            "no-such-lead,seasonal,",
            f"{leads[1]},the number is disconnected,",
        ]
    )
    foreseen = await send(wire, company, file, "?dry_run=true")
    assert (await wire.standing(company))["overall_pct"] == Decimal("0.00")
    told = await send(wire, company, file)
    assert [line["line"] for line in told] == ["2", "3", "4", "5"]
    assert [line["code"] for line in told] == ["", "malformed", "not_found", ""]
    assert [line["overall_pct"] for line in told] == ["25.00", "", "", "50.00"]
    assert [{**line, "rejection_id": ""} for line in told] == foreseen
    repeated = [
        {**line, "status": "returned_before", "value": "0.00", "overall_pct": "50.00"}
        | {key: told[3][key] for key in ("verdict", "price_of_100")}
        for line in (told[0], told[3])
    ]
    assert await send(wire, company, file) == [repeated[0], told[1], told[2], repeated[1]]

    half, three_quarters = paid_to_seller(Decimal("50.00")), paid_to_seller(Decimal("75.00"))
    async with line_to_each_worker(running) as lines:
        for line in lines.values():
            await until(partial(_has_price, line, seller, half), FOLLOW_S, "the file")

        (first, _) = (await wire.get("/v1/returns", seller.key))["items"]
        assert first["note"] == "rang twice" and "company_id" not in first
        path = f"/v1/returns/{first['rejection_id']}/dispute"
        body: Json = {"statement": "I reached Ada.", "evidence": ["call 7 of 21 November"]}
        disputed = (await wire.call("POST", path, seller.key, body)).ok()
        assert (await wire.call("POST", path, seller.key, body)).ok() == disputed
        (queued,) = (await wire.get("/v1/disputes"))["items"]
        assert queued["dispute"]["evidence"] == ["call 7 of 21 November"]

        for line in lines.values():
            path = f"/v1/disputes/{queued['dispute']['dispute_id']}/decision"
            body = {"decision": "overturned", "sentence": "The call was recorded."}
            overturned = (await line.call("POST", path, OPERATOR_KEY, body)).ok()
            assert overturned["status"] == "reversed"
            # This worker's very next ping; the others follow.
            if line is next(iter(lines.values())):
                assert await line.price(seller, **UTAH) == three_quarters
            await until(partial(_has_price, line, seller, three_quarters), FOLLOW_S, "it")
    again = await wire.reject(company, leads[0])
    assert (again.status, again.json["code"]) == (409, "return_reversed")
    assert (await send(wire, company, file))[0]["code"] == "return_reversed"


async def _has_price(line: Wire, seller: Account, price: Decimal) -> bool:
    return await line.price(seller, **UTAH) == price


async def test_section_11_a_text_nobody_can_read_is_read_by_the_operator(wire: Wire) -> None:
    company = await wire.company()
    terms: Json = {"filter": {"field": "state", "op": "=", "value": "WY"}}
    await wire.campaign(company, "100.00", **terms)
    wyoming: Json = {"attributes": {**ATTRIBUTES, "state": "WY"}}
    lead = (await wire.sell(await wire.seller(), person(9), **wyoming))["lead_id"]
    path = f"/v1/leads/{lead}/rejections"
    vague: Json = {"text": "We did not like it"}
    assert (await wire.call("POST", path, company.key, vague)).status == 422
    preview = (await wire.call("POST", path, company.key, vague | {"dry_run": True})).ok()
    assert (preview["outcome"], preview["refusal"]["code"]) == ("refused", "reason_unclear")
    asked = (await wire.call("POST", path, company.key, vague | {"review": True})).ok()
    assert (asked["status"], asked["reason"], asked["category"]) == (
        "in_review",
        "reason_unclear",
        None,
    )
    queue = (await wire.get("/v1/reviews"))["items"]
    assert [one["note"] for one in queue] == ["We did not like it"]
    path = f"/v1/returns/{asked['rejection_id']}/review"
    word: Json = {"decision": "approved", "reason": "budget_below_minimum"}
    approved = (await wire.call("POST", path, OPERATOR_KEY, word)).ok()
    assert (approved["status"], approved["category"]) == ("accepted", "quality")
    (mine,) = (await wire.get("/v1/returns", company.key))["items"]
    assert mine["credited"] == Decimal("100.00") and "seller_id" not in mine
    held = await wire.get(f"/v1/leads/{lead}", company.key)
    assert (held["status"], held["rejection_status"]) == ("rejected", "accepted")
