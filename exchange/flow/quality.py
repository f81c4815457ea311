"""A posted contact graded, and what a company's campaign makes of it. Source: rules §3.1, §3.2.

Decides nothing itself: the core does.
"""

from __future__ import annotations

from typing import Final

from exchange.core.model import Campaign, Offer
from exchange.core.quality.flaws import Flaw
from exchange.core.quality.grading import Grading, Posted, posted_score
from exchange.core.quality.requires import contact_unmet
from exchange.core.reasons import Reason
from exchange.flow.faults import Invalid
from exchange.flow.ports import OpenLead, PostRequest

_FIELDS: Final = {"phone": "contact.phone", "email": "contact.email", "address": "contact.address"}


def grade_post(grading: Grading, offer: Offer, request: PostRequest) -> Offer:
    """The offer with what is wrong with the contact it is posted with."""
    contact = request.contact
    return grading.post(
        offer,
        Posted(
            first_name=contact.first_name,
            last_name=contact.last_name,
            phone=request.phone or contact.phone,
            email=contact.email,
            address=contact.address,
        ),
        request.received_at,
    )


def refusal_of(grading: Grading, offer: Offer) -> Invalid | None:
    """The fault to raise where the exchange does not take a graded contact, with every flaw."""
    reason = grading.post_refused(offer)
    if reason is None:
        return None
    return Invalid(
        reason.message,
        field=_field_of(reason),
        code=reason.code,
        details={
            "category": reason.category,
            "score": posted_score(offer),
            "flaws": [_shown(flaw) for flaw in offer.contact_flaws],
        },
    )


def why_unwanted(campaign: Campaign, lead: OpenLead) -> Reason | None:
    """What a posted contact lacks of a campaign's demands; None if it may have the lead."""
    if campaign.requires is None or lead.contact is None:
        return None
    return contact_unmet(
        campaign.requires,
        posted_score(lead.offer),
        lead.offer.contact_flaws,
        has_phone=lead.contact.phone is not None,
        has_email=lead.contact.email is not None,
    )


def _field_of(reason: Reason) -> str:
    return _FIELDS.get(reason.code.partition("_")[0], "contact")


def _shown(flaw: Flaw) -> dict[str, object]:
    return {"check": flaw.check, "points": flaw.points, "message": flaw.message}
