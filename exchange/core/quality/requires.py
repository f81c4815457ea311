"""What a campaign demands of a lead's quality, and what a posted contact does not meet.

What can be judged on ping is: `demand_unmet`, and the masks of `core.index`, which agree with it.
What needs the contact is judged before the company's turn: `contact_unmet`. Source: rules §3.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from exchange.core.quality.consent import parts_given
from exchange.core.quality.flaws import CHECKS, Flaw, has_place_flaw
from exchange.core.reasons import Reason


class Requires(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A campaign's demands. ``min_score`` is 0 to 100; ``consent`` are names that must be there.

    ``min_score`` and ``consent`` hold on ping; with the contact the score is looked at again.
    ``phone_valid``, ``phone_in_state`` and ``email_deliverable`` demand that there is a phone or an
    email.
    """

    min_score: int = 0
    place_consistent: bool = False
    consent: tuple[str, ...] = ()
    phone_valid: bool = False
    phone_in_state: bool = False
    email_deliverable: bool = False
    no_disposable_email: bool = False
    no_role_email: bool = False
    name_plausible: bool = False
    not_copied: bool = False


_PHONE: Final = frozenset({"phone_invalid", "phone_fictitious", "phone_service", "phone_abroad"})
_BY_DEMAND: Final = {
    "phone_valid": _PHONE,
    # A number with a flaw of its own has no area code that says where it is.
    "phone_in_state": _PHONE | {"phone_area"},
    "email_deliverable": frozenset({"email_undeliverable"}),
    "no_disposable_email": frozenset({"email_disposable"}),
    "no_role_email": frozenset({"email_role"}),
    "name_plausible": frozenset({"name_placeholder"}),
    "not_copied": frozenset({"name_phones", "address_phones"}),
}
"""The flaws of a contact that each demand rules out."""


def demand_unmet(
    requires: Requires, score: int, flaws: Iterable[Flaw], consent: Mapping[str, str]
) -> Reason | None:
    """The first demand that a ping does not meet, in the order score, place, consent."""
    if score < requires.min_score:
        return Reason.SCORE_BELOW
    if requires.place_consistent and has_place_flaw(flaws):
        return Reason.PLACE_DEMANDED
    if requires.consent and not parts_given(consent).issuperset(requires.consent):
        return Reason.CONSENT_DEMANDED
    return None


def contact_unmet(
    requires: Requires, score: int, flaws: Iterable[Flaw], *, has_phone: bool, has_email: bool
) -> Reason | None:
    """The first demand that a posted contact does not meet; ``flaws`` are the contact's.

    ``score`` is the lead's with its contact.
    """
    if (requires.phone_valid or requires.phone_in_state) and not has_phone:
        return Reason.PHONE_MISSING
    if requires.email_deliverable and not has_email:
        return Reason.EMAIL_MISSING
    found = {one.check for one in flaws}
    if found:
        for demand, ruled_out in _BY_DEMAND.items():
            unmet = found & ruled_out if getattr(requires, demand) else None
            if unmet:
                return CHECKS[min(unmet)].reason
    if score < requires.min_score:
        return Reason.CONTACT_SCORE
    return None
