"""What a lead's quality, and a campaign's demands of it, look like on the wire."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from exchange.web.wire import Answer, Body, Key
from exchange.web.wire_flaws import FlawAnswer


class RequiresBody(Body, frozen=True, kw_only=True, omit_defaults=True):
    """What a campaign demands of a lead's quality.

    On ping: ``min_score``, ``place_consistent`` (ZIP code, state, timezone and county belong
    together) and ``consent`` (names that must be there). Of the posted contact, before the company
    hears of it: ``phone_valid`` (a number of the states that can be a person's), ``phone_in_state``
    (such a number, its area code of the lead's state), ``email_deliverable``,
    ``no_disposable_email``, ``no_role_email``, ``name_plausible``, ``not_copied`` (name and address
    did not come with many other phones), and ``min_score`` again.
    """

    min_score: Annotated[int, Meta(ge=0, le=100)] = 0
    place_consistent: bool = False
    consent: Annotated[tuple[Key, ...], Meta(max_length=10)] = ()
    phone_valid: bool = False
    phone_in_state: bool = False
    email_deliverable: bool = False
    no_disposable_email: bool = False
    no_role_email: bool = False
    name_plausible: bool = False
    not_copied: bool = False


class ConsentDemands(Struct, frozen=True, kw_only=True):
    """What a vertical demands of the proof of consent; see the ping's ``consent``.

    ``required`` names must be there. ``certificates`` are https addresses at ``hosts`` or below,
    where there are any. ``given_at`` names the time of consent, at most ``max_age_s`` ago,
    ``text_version`` the version of the text agreed to, one of ``text_versions``.
    """

    required: tuple[str, ...]
    certificates: tuple[str, ...]
    hosts: tuple[str, ...]
    given_at: str | None
    max_age_s: int | None
    text_version: str | None
    text_versions: tuple[str, ...]


class PostedQuality(Struct, frozen=True, kw_only=True):
    """A lead's quality with the contact it was posted with; ``flaws`` are the contact's."""

    lead_id: str
    score: int
    flaws: tuple[FlawAnswer, ...]


class LeadQualityAnswer(Answer, frozen=True, kw_only=True):
    """The quality of a ping, and of its lead once it was posted, with the consent kept of it."""

    ping_id: str
    test: bool
    score: int
    flaws: tuple[FlawAnswer, ...]
    consent: dict[str, str]
    posted: PostedQuality | None
