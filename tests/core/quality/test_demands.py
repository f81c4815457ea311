"""What campaigns demand of a lead's quality: on ping a mask, on post a company's turn (§3.2)."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.core.changes import CampaignChange
from exchange.core.market import Market
from exchange.core.masks import slots_of
from exchange.core.matching import why_not
from exchange.core.model import CampaignId, Ping
from exchange.core.quality.flaws import CHECKS, Flaw, flaw, score_of
from exchange.core.quality.requires import Requires, contact_unmet
from exchange.core.race import race
from exchange.core.reasons import Reason
from tests.core.making import DRAW_KEY, NOW, campaign, company, market, ping, solar

SOLAR = solar()
NAMES = ("certificate", "given_at", "version")

demands = st.builds(
    Requires,
    min_score=st.sampled_from([0, 1, 50, 60, 75, 100]),
    place_consistent=st.booleans(),
    consent=st.lists(st.sampled_from(NAMES), max_size=3).map(tuple),
    phone_valid=st.booleans(),
)
found_flaws = st.lists(
    st.sampled_from(["zip_state", "county", "impossible", "source_pace"]).map(
        lambda check: flaw(check, "Odd.")
    ),
    max_size=3,
).map(tuple)


@st.composite
def pings(draw: st.DrawFn) -> Ping:
    flaws = draw(found_flaws)
    consent = draw(st.dictionaries(st.sampled_from(NAMES), st.sampled_from(["x", "", " "])))
    return ping(SOLAR, flaws=flaws, quality_score=score_of(flaws), consent=consent)


@given(
    st.lists(st.none() | demands, min_size=1, max_size=10),
    st.sets(st.integers(0, 9)),
    st.lists(st.none() | demands, max_size=5),
    st.lists(pings(), min_size=1, max_size=4),
)
def test_masks_and_scan_agree_on_every_demand_whatever_campaigns_come_and_go(
    required: list[Requires | None],
    leaving: set[int],
    coming: list[Requires | None],
    asked: list[Ping],
) -> None:
    made = market([campaign(f"c-{n}", requires=r) for n, r in enumerate(required)], vertical=SOLAR)
    assert_agreed(made, asked)
    for n in leaving & set(range(len(required))):
        gone = CampaignChange(campaign_id=CampaignId(f"c-{n}"), version=2, campaign=None)
        made.apply_campaign(gone)
    assert_agreed(made, asked)
    # The slots of those that left are taken by others, with demands of their own.
    for n, requires in enumerate(coming):
        one = campaign(f"d-{n}", requires=requires)
        made.apply_company(company(one.company_id))
        made.apply_campaign(CampaignChange(campaign_id=one.campaign_id, version=1, campaign=one))
        assert_agreed(made, asked)


def assert_agreed(made: Market, asked: list[Ping]) -> None:
    index = made.indexes["solar"]
    for one in asked:
        gated = index.gate(one, NOW)
        may = {index.runner_at(slot).campaign.campaign_id for slot in slots_of(gated.mask)}
        counts: dict[str, int] = {}
        for runner in made.runners("solar"):
            company_id = runner.campaign.company_id
            owner, standing = made.companies[company_id], made.standings[company_id]
            why = why_not(runner, owner, standing, one, NOW)
            assert (why is None) is (runner.campaign.campaign_id in may)
            if why is not None:
                counts[why.code] = counts.get(why.code, 0) + 1
        assert gated.counts == counts


@pytest.mark.parametrize(
    ("requires", "reason"),
    [
        pytest.param(Requires(min_score=60), None, id="the score it has"),
        pytest.param(Requires(min_score=61), Reason.SCORE_BELOW, id="a better score"),
        pytest.param(Requires(place_consistent=True), Reason.PLACE_DEMANDED, id="a place"),
        pytest.param(Requires(consent=("certificate",)), None, id="the consent it has"),
        pytest.param(Requires(consent=("version",)), Reason.CONSENT_DEMANDED, id="more consent"),
        pytest.param(Requires(consent=("given_at",)), Reason.CONSENT_DEMANDED, id="not a blank"),
        pytest.param(Requires(phone_valid=True), None, id="what only a post can show"),
        pytest.param(
            Requires(min_score=61, place_consistent=True, consent=("version",)),
            Reason.SCORE_BELOW,
            id="the score is told first",
        ),
    ],
)
def test_a_campaign_that_demands_more_does_not_bid_and_says_why(
    requires: Requires, reason: Reason | None
) -> None:
    made = market([campaign("roofs", requires=requires)], vertical=SOLAR)
    flaws = (flaw("zip_state", "Odd."),)
    one = ping(SOLAR, flaws=flaws, quality_score=60, consent={"certificate": "x", "given_at": " "})
    decision = race(made, one, NOW, DRAW_KEY)
    assert decision.reasons == ({} if reason is None else {reason.code: 1})
    assert bool(decision.award.winners) is (reason is None)


CONTACT = [
    ("phone_valid", "phone_invalid", Reason.PHONE_INVALID),
    ("phone_valid", "phone_fictitious", Reason.PHONE_FICTITIOUS),
    ("phone_valid", "phone_service", Reason.PHONE_SERVICE),
    ("phone_valid", "phone_abroad", Reason.PHONE_ABROAD),
    ("phone_in_state", "phone_area", Reason.PHONE_AREA),
    ("phone_in_state", "phone_invalid", Reason.PHONE_INVALID),
    ("phone_in_state", "phone_fictitious", Reason.PHONE_FICTITIOUS),
    ("phone_in_state", "phone_service", Reason.PHONE_SERVICE),
    ("phone_in_state", "phone_abroad", Reason.PHONE_ABROAD),
    ("email_deliverable", "email_undeliverable", Reason.EMAIL_UNDELIVERABLE),
    ("no_disposable_email", "email_disposable", Reason.EMAIL_DISPOSABLE),
    ("no_role_email", "email_role", Reason.EMAIL_ROLE),
    ("name_plausible", "name_placeholder", Reason.NAME_PLACEHOLDER),
    ("not_copied", "name_phones", Reason.NAME_REPEATED),
    ("not_copied", "address_phones", Reason.ADDRESS_REPEATED),
]


def unmet(
    requires: Requires, *flaws: Flaw, phone: bool = True, email: bool = True
) -> Reason | None:
    score = score_of(flaws)
    return contact_unmet(requires, score, flaws, has_phone=phone, has_email=email)


@pytest.mark.parametrize(
    ("demand", "check", "reason"), CONTACT, ids=["-".join(c[:2]) for c in CONTACT]
)
def test_a_demand_rules_its_flaws_out_and_no_others(
    demand: str, check: str, reason: Reason
) -> None:
    requires = msgspec.convert({demand: True}, Requires)
    ruled_out = {other for name, other, _ in CONTACT if name == demand}
    assert unmet(requires, flaw(check, "Odd.")) is reason
    for other in CHECKS.keys() - ruled_out:
        assert unmet(requires, flaw(other, "Odd.")) is None


def test_what_is_demanded_must_be_there() -> None:
    assert unmet(Requires(phone_valid=True), phone=False) is Reason.PHONE_MISSING
    assert unmet(Requires(phone_in_state=True), phone=False) is Reason.PHONE_MISSING
    assert unmet(Requires(email_deliverable=True), email=False) is Reason.EMAIL_MISSING
    assert unmet(Requires(no_disposable_email=True), email=False) is None
    assert unmet(Requires(), phone=False, email=False) is None


def test_the_score_is_looked_at_again_with_the_contact() -> None:
    service = flaw("phone_service", "Odd.")
    assert unmet(Requires(min_score=60), service) is None
    assert unmet(Requires(min_score=61), service) is Reason.CONTACT_SCORE


def test_every_check_has_a_reason_of_its_side_and_points_within_the_score() -> None:
    for check in CHECKS.values():
        assert check.reason // 100 == (1 if check.side == "ping" else 4)
        assert 0 < check.points <= 100
