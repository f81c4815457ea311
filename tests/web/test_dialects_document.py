"""The examples of docs/dialects.md, run as they stand there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from exchange.buyers.desk import Desk
from exchange.buyers.formats import PLAIN, WITH_ARGUMENT
from exchange.buyers.post_office import Relay
from exchange.buyers.presets import presets
from exchange.core.model import CampaignId, CompanyId
from exchange.web.campaign_codec import read_campaign
from exchange.web.wire_campaigns import CampaignBody
from tests.buyers.speaking import SOLAR, make_dialects
from tests.web.bodies import CAMPAIGN
from tests.web.conftest import Wire

TEXT = (Path(__file__).parents[2] / "docs" / "dialects.md").read_text("utf-8")
EXAMPLES = [
    (json.loads(body), (answers or "").splitlines())
    for body, answers in re.findall(
        r"```json\n(.*?)```(?:\n\n```answers\n(.*?)```)?", TEXT, re.DOTALL
    )
]
CAMPAIGNS = [(body, answers) for body, answers in EXAMPLES if {"bid", "delivery"} & body.keys()]
MAILS = [body for body, _ in CAMPAIGNS if body.get("delivery", [{}])[0].get("kind") == "email"]


@pytest.mark.parametrize(
    ("parts", "answers"),
    [(body, answers) for body, answers in CAMPAIGNS if body not in MAILS],
    ids=lambda value: str(value)[:40],
)
async def test_an_example_is_saved_and_understands_its_answers(
    wire: Wire, parts: dict[str, Any], answers: list[str]
) -> None:
    created = await wire.call("POST", "/v1/campaigns", CAMPAIGN | parts, key="company")
    assert created.status == 201, created.body
    side = "ping" if "bid" in parts else "post"
    path = f"/v1/campaigns/{created.json['campaign_id']}/probe"
    for line in answers:
        status, body, result, detail = re.fullmatch(  # type: ignore[union-attr]
            r"(\d{3}) (.*) -> (\w+) ?(\S*)", line
        ).groups()
        probe = {"side": side, "answer": {"status": int(status), "body": body}}
        probed = await wire.call("POST", path, probe, key="company")
        assert probed.status == 200, probed.body
        told = probed.json[side]["understood"]
        told["detail"] = told.get("reference") or (told.get("reason") or {}).get("code", "")
        if "price" in told:
            told["detail"] = f"{told['price']:.2f}"
        assert (told["result"], told["detail"]) == (result, detail), line


@pytest.mark.parametrize("parts", MAILS, ids=str)
def test_an_example_of_a_mail_can_be_written(parts: dict[str, Any]) -> None:
    body = msgspec.convert(CAMPAIGN | parts, CampaignBody, strict=False)
    campaign = read_campaign(body, CampaignId("c"), CompanyId("d"), 5)
    relay = Relay(host="localhost", port=25, sender="x@exchange.example")
    assert Desk(make_dialects(), relay=relay).check_target(campaign.delivery[0], SOLAR) is None


def test_every_format_and_preset_is_in_the_document() -> None:
    named = set(re.findall(r"`([A-Za-z_0-9]+)(?::[^`]*)?`", TEXT))
    assert PLAIN.keys() | WITH_ARGUMENT.keys() | presets().keys() <= named


def test_there_are_examples() -> None:
    assert len(CAMPAIGNS) >= 7 and sum(len(answers) for _, answers in CAMPAIGNS) >= 20
