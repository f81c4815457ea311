"""A lead's quality score: 100 less its flaws, and what refuses it is a matter of rules (§3.1)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from exchange.core.model import Condition, Offer, Ping, PingId, SellerId
from exchange.core.quality.flaws import CHECKS, Flaw, score_of
from exchange.core.quality.grading import Grading, Posted, QualityRules, posted_score
from exchange.core.reasons import Reason
from exchange.core.verticals import Impossible, QualitySpec, Vertical
from tests.core.making import LEAD, NOW, attributes, ping, solar

SOLAR = solar()
ELSEWHERE = LEAD | {"state": "TX"}
SOUND = Posted(first_name="Ann", last_name="Lee", phone="+14155551234", email="ann@gmail.com")
BAD = Posted(first_name="Ann", last_name="Lee", phone="+18005551234", email="x@yopmail.com")


def grading(vertical: Vertical = SOLAR, **rules: Any) -> Grading:
    return Grading([vertical], QualityRules(**rules))


def checks(one: Ping) -> list[str]:
    return [flaw.check for flaw in one.flaws]


def offer(vertical: Vertical = SOLAR, **changes: Any) -> Offer:
    values: dict[str, Any] = {
        "ping_id": PingId("p-1"),
        "seller_id": SellerId("s-1"),
        "vertical": vertical.name,
        "attributes": Raw(msgspec.json.encode(LEAD)),
        "contact_hashes": {},
        "source": {},
        "share": 1,
        "legs_cents": (50_00,),
        "ranks": (),
        "min_price_cents": 0,
        "cascade": "promised",
        "take_rate_bp": 0,
        "test": False,
        "captured_at": NOW,
        "decided_at": NOW,
        "expires_at": NOW + timedelta(minutes=5),
    }
    return Offer(**(values | changes))


flaws = st.lists(
    st.builds(Flaw, check=st.sampled_from(sorted(CHECKS)), points=st.integers(0, 100),
              message=st.just("Odd.")),
    max_size=8,
)  # fmt: skip


@given(flaws, st.integers(0, 100))
def test_a_score_is_from_0_to_100_and_a_further_flaw_never_raises_it(
    found: list[Flaw], best: int
) -> None:
    scores = [score_of(found[:n], best) for n in range(len(found) + 1)]
    assert scores[0] == best and all(0 <= score <= 100 for score in scores)
    assert scores == sorted(scores, reverse=True)


def test_a_lead_without_flaws_is_left_as_it_is() -> None:
    one = ping(SOLAR)
    assert grading().ping(one, NOW) is one
    assert (one.quality_score, one.flaws) == (100, ())


def test_a_flaw_lowers_the_score_and_refuses_nothing_by_default() -> None:
    graded = grading().ping(ping(SOLAR, attributes=attributes(SOLAR, **ELSEWHERE)), NOW)
    assert (checks(graded), graded.quality_score) == (["zip_state"], 60)
    assert grading().ping_refused(graded) is None


@pytest.mark.parametrize(
    ("rules", "spec", "reason"),
    [
        pytest.param({}, QualitySpec(), None, id="nobody refuses it"),
        pytest.param(
            {"refuse": {"zip_state"}}, QualitySpec(), Reason.PLACE_MISMATCH, id="the operator"
        ),
        pytest.param(
            {}, QualitySpec(refuse=("zip_state",)), Reason.PLACE_MISMATCH, id="the vertical"
        ),
        pytest.param({"refuse": {"county"}}, QualitySpec(), None, id="for another check"),
        pytest.param({"refuse_score_below": 60}, QualitySpec(), None, id="at the score"),
        pytest.param(
            {"refuse_score_below": 61}, QualitySpec(), Reason.LOW_QUALITY, id="below the score"
        ),
        pytest.param(
            {}, QualitySpec(refuse_score_below=61), Reason.LOW_QUALITY, id="below the vertical's"
        ),
    ],
)
def test_what_refuses_a_ping_is_the_operators_and_the_verticals_to_say(
    rules: dict[str, Any], spec: QualitySpec, reason: Reason | None
) -> None:
    vertical = solar(quality=spec)
    made = grading(vertical, **rules)
    graded = made.ping(ping(vertical, attributes=attributes(vertical, **ELSEWHERE)), NOW)
    assert made.ping_refused(graded) is reason


@pytest.mark.parametrize("refuse", [False, True])
def test_what_a_vertical_calls_impossible_is_a_flaw_and_may_refuse(refuse: bool) -> None:
    renter = Condition(field="owns_home", op="=", value=False)
    impossible = Impossible(when=renter, message="Roofs are owners'.", points=30, refuse=refuse)
    vertical = solar(impossible=(impossible,))
    made = grading(vertical)
    lead = attributes(vertical, **LEAD | {"owns_home": False})
    graded = made.ping(ping(vertical, attributes=lead), NOW)
    assert graded.quality_score == 70 and graded.flaws[0].message == "Roofs are owners'."
    assert made.ping_refused(graded) is (Reason.IMPOSSIBLE_LEAD if refuse else None)
    assert made.ping(ping(vertical), NOW).flaws == ()


def test_a_source_that_sends_too_many_has_a_flaw_until_the_minute_is_over() -> None:
    made = grading(pings_per_source_minute=2)
    start = NOW.replace(second=0)
    one = ping(SOLAR, source={"sub_id": "fb-1"})
    assert [checks(made.ping(one, start)) for _ in range(3)] == [[], [], ["source_pace"]]
    assert checks(made.ping(ping(SOLAR, source={"sub_id": "fb-2"}), start)) == []
    assert checks(made.ping(ping(SOLAR), start)) == []
    assert checks(made.ping(one, start + timedelta(minutes=2))) == []


def test_a_contact_pinged_again_and_again_by_one_seller_has_a_flaw() -> None:
    made = grading(pings_per_contact_hour=1)
    one = ping(SOLAR, contact_keys=("a", "b"))
    assert [checks(made.ping(one, NOW)) for _ in range(2)] == [[], ["contact_pace"]]
    assert checks(made.ping(ping(SOLAR, contact_keys=("b",)), NOW)) == ["contact_pace"]
    other = ping(SOLAR, contact_keys=("b",), seller_id=SellerId("s-2"))
    assert checks(made.ping(other, NOW)) == []


def test_a_test_ping_is_looked_at_and_not_counted() -> None:
    made = grading(pings_per_source_minute=1, pings_per_contact_hour=1)
    trial = ping(SOLAR, source={"sub_id": "fb-1"}, contact_keys=("a",), test=True)
    assert [checks(made.ping(trial, NOW)) for _ in range(3)] == [[], [], []]
    real = msgspec.structs.replace(trial, test=False)
    assert checks(made.ping(real, NOW)) == []
    assert checks(made.ping(trial, NOW)) == ["source_pace", "contact_pace"]


def test_a_sound_contact_leaves_the_offer_as_it_is() -> None:
    one = offer()
    assert grading().post(one, SOUND, NOW) is one
    assert posted_score(one) == 100


def test_a_contacts_flaws_come_off_what_the_ping_left() -> None:
    pinged = offer(quality_score=60)
    graded = grading().post(pinged, BAD, NOW)
    assert [f.check for f in graded.contact_flaws] == ["phone_service", "email_disposable"]
    assert (graded.quality_score, posted_score(graded)) == (60, 0)
    assert grading().post_refused(graded) is None


def test_a_contact_is_graded_by_the_pinged_place() -> None:
    texan = SOUND.__class__(first_name="Ann", last_name="Lee", phone="+12145551234")
    graded = grading().post(offer(), texan, NOW)
    assert [f.check for f in graded.contact_flaws] == ["phone_area"]


def test_grading_again_does_not_add_up() -> None:
    made = grading()
    once = made.post(offer(), BAD, NOW)
    assert made.post(once, BAD, NOW) == once
    assert made.post(once, SOUND, NOW).contact_flaws == ()


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        pytest.param({"refuse": {"email_disposable"}}, Reason.EMAIL_DISPOSABLE, id="by a check"),
        pytest.param({"refuse": {"email_role"}}, None, id="by another check"),
        pytest.param({"refuse_score_below": 26}, Reason.CONTACT_SCORE, id="by the score"),
        pytest.param({"refuse_score_below": 25}, None, id="by a lower score"),
    ],
)
def test_what_refuses_a_post_is_the_operators_to_say(
    rules: dict[str, Any], reason: Reason | None
) -> None:
    made = grading(**rules)
    assert made.post_refused(made.post(offer(), BAD, NOW)) is reason


@pytest.mark.parametrize("what", ["name", "address"])
def test_one_name_or_address_with_many_phones_is_copied(what: str) -> None:
    limits: dict[str, Any] = {f"phones_per_{what}_hour": 2}
    made = grading(**limits)

    def post(n: int, *, test: bool = False) -> list[str]:
        same = {"first_name": "Ann", "last_name": "Lee", "address": "1 Main St."}
        own = {"first_name": f"A{n}", "last_name": f"L{n}", "address": f"{n} Main"}
        keys = ("first_name", "last_name") if what == "name" else ("address",)
        given = own | {key: same[key] for key in keys}
        posted = Posted(phone=f"+1415555{1000 + n}", **given)
        return [f.check for f in made.post(offer(test=test), posted, NOW).contact_flaws]

    assert [post(n) for n in (1, 2, 2, 1)] == [[], [], [], []]
    assert post(3, test=True) == [f"{what}_phones"]
    assert post(2) == []
    assert post(3) == [f"{what}_phones"]
