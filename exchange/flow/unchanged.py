"""Whether a post is of the lead that was pinged. Source: rules §2: an offer binds for one lead."""

from __future__ import annotations

import msgspec

from exchange.core.model import Offer
from exchange.core.reasons import Reason
from exchange.flow.faults import Invalid
from exchange.flow.ports import PostRequest


def check_unchanged(offer: Offer, request: PostRequest) -> None:
    """Refuse a post whose attributes or contact are not what was pinged. Raises Invalid."""
    pinged = msgspec.json.decode(offer.attributes)
    for name, value in request.attributes.items():
        if name not in pinged:
            raise Invalid(
                "was not pinged; a post repeats the ping's attributes or leaves them out",
                field=f"attributes.{name}",
                code=Reason.ATTRIBUTE_CHANGED.code,
            )
        if not _same(pinged[name], value):
            reason = Reason.ATTRIBUTE_CHANGED
            raise Invalid(reason.message, field=f"attributes.{name}", code=reason.code)
    for name, digest in offer.contact_hashes.items():
        if request.contact_hashes.get(name) != digest:
            reason = Reason.CONTACT_MISMATCH
            raise Invalid(reason.message, field=f"contact.{name}", code=reason.code)


def _same(pinged: object, posted: object) -> bool:
    """Whether two attribute values agree; a form sends every value as text."""
    if isinstance(posted, str) and not isinstance(pinged, str):
        return posted == msgspec.json.encode(pinged).decode()
    return type(pinged) is type(posted) and pinged == posted
