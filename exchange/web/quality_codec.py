"""A lead's quality between the core and the wire, and a campaign's demands of it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from exchange.core.model import LeadId, Offer, PingId
from exchange.core.quality.consent import ConsentRules
from exchange.core.quality.flaws import Flaw
from exchange.core.quality.grading import posted_score
from exchange.core.quality.requires import Requires
from exchange.core.reasons import PING_QUALITY_REASONS
from exchange.flow.faults import Invalid
from exchange.flow.ports import Receipt
from exchange.web.wire_flaws import FlawAnswer, QualityAnswer
from exchange.web.wire_quality import (
    ConsentDemands,
    LeadQualityAnswer,
    PostedQuality,
    RequiresBody,
)

_NOTHING = Requires()


def read_requires(body: RequiresBody | None) -> Requires | None:
    """Read a campaign's demands; those that demand nothing are none. Raises Invalid."""
    if body is None:
        return None
    if len(set(body.consent)) != len(body.consent):
        raise Invalid("requires.consent names a part twice.", field="requires.consent")
    requires = Requires(**msgspec.structs.asdict(body))
    return None if requires == _NOTHING else requires


def show_requires(requires: Requires | None) -> RequiresBody | None:
    """Write a campaign's demands in the form they were given."""
    return None if requires is None else RequiresBody(**msgspec.structs.asdict(requires))


def show_quality(receipt: Receipt) -> QualityAnswer:
    """Write a ping's score with its flaws."""
    return QualityAnswer(score=receipt.quality_score, flaws=show_flaws(receipt.flaws))


def show_refused_quality(receipt: Receipt) -> QualityAnswer | None:
    """Write what a ping was refused for, if it was for the lead itself or for its consent."""
    return show_quality(receipt) if receipt.reason in PING_QUALITY_REASONS else None


def show_flaws(flaws: Iterable[Flaw]) -> tuple[FlawAnswer, ...]:
    """Write flaws, in the order they were found."""
    return tuple(FlawAnswer(check=f.check, points=f.points, message=f.message) for f in flaws)


def show_lead_quality(ping_id: PingId, offer: Offer, lead_id: LeadId | None) -> LeadQualityAnswer:
    """Write the quality of an offered lead, and with its contact where it was posted."""
    posted = None
    if lead_id is not None:
        flaws = show_flaws(offer.contact_flaws)
        posted = PostedQuality(lead_id=lead_id, score=posted_score(offer), flaws=flaws)
    return LeadQualityAnswer(
        ping_id=ping_id,
        test=offer.test,
        score=offer.quality_score,
        flaws=show_flaws(offer.flaws),
        consent=offer.consent,
        posted=posted,
    )


def show_pinged_quality(receipt: Receipt) -> LeadQualityAnswer:
    """Write the quality of a ping that was not posted."""
    if receipt.offer is not None:
        return show_lead_quality(receipt.ping_id, receipt.offer, None)
    return LeadQualityAnswer(
        ping_id=receipt.ping_id,
        test=receipt.test,
        score=receipt.quality_score,
        flaws=show_flaws(receipt.flaws),
        consent={},
        posted=None,
    )


def show_consent_demands(rules: ConsentRules | None) -> ConsentDemands | None:
    """Write what a vertical demands of consent."""
    return None if rules is None else ConsentDemands(**msgspec.structs.asdict(rules))
