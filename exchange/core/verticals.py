"""Verticals: which attributes a lead of each kind has, and the defaults it is traded under.

A vertical compiles its attributes into a msgspec Struct of its own, so that a ping is decoded and
checked in one step. Source: rules §3.1, §9 (the defaults that hold without a contract).
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from exchange.core.model import Condition
from exchange.core.money import MoneyError, parse_cents
from exchange.core.quality.consent import ConsentRules
from exchange.core.quality.flaws import CHECKS

Kind = Literal["text", "integer", "decimal", "boolean", "choice", "zip", "state"]

_POSTAL_CODES: Final = """
AL AK AZ AR CA CO CT DE DC FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO
MT NE NV NH NJ NM NY NC ND OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY PR
"""
STATES: Final = tuple(_POSTAL_CODES.split())
"""Postal codes of the states, the District of Columbia and Puerto Rico."""

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_LOOKS_LIKE_CONTACT: Final = re.compile(r"@|(?:\d[\s().+-]*){10,}")
CONTACT_FIELDS: Final = frozenset(
    {
        "first_name",
        "last_name",
        "name",
        "full_name",
        "phone",
        "mobile",
        "telephone",
        "email",
        "address",
        "street",
        "ssn",
        "contact",
    }
)
"""Names a vertical's attribute may not have, and a ping may not carry: contact data."""


class AttributeSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One attribute as a vertical's file describes it; bounds are inclusive."""

    kind: Kind
    required: bool = False
    min: float | None = None
    max: float | None = None
    allowed: tuple[str, ...] = ()
    max_length: int = 100
    description: str = ""


class Impossible(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What no lead can be: where ``when`` holds the lead has a flaw of so many points (0–100).

    ``message`` says why, to the seller; with ``refuse`` the whole ping is refused.
    """

    when: Condition
    message: str
    points: int = CHECKS["impossible"].points
    refuse: bool = False


class QualitySpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a vertical refuses beyond what the operator does: checks by name, and a score."""

    refuse: tuple[str, ...] = ()
    refuse_score_below: int = 0


class VerticalSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A vertical as its file describes it; ``floor`` is dollars as a string, lives are seconds."""

    name: str
    title: str
    floor: str = "0.00"
    offer_life_s: int = 300
    max_age_s: int = 30 * 24 * 3600
    consent_required: bool = False
    premium: Condition | None = None
    consent: ConsentRules | None = None
    quality: QualitySpec = QualitySpec()
    impossible: tuple[Impossible, ...] = ()
    attributes: dict[str, AttributeSpec]


class Vertical(Struct, frozen=True, kw_only=True):
    """A compiled vertical. ``attributes_type`` has one field per attribute, absent ones UNSET."""

    name: str
    title: str
    floor_cents: int
    offer_life_s: int
    max_age_s: int
    consent_required: bool
    premium: Condition | None
    attributes: dict[str, AttributeSpec]
    attributes_type: type[Struct]
    consent: ConsentRules | None = None
    quality: QualitySpec = QualitySpec()
    impossible: tuple[Impossible, ...] = ()


class VerticalError(ValueError):
    """A vertical's description that cannot work; names the attribute or key at fault."""


def compile_vertical(spec: VerticalSpec) -> Vertical:
    """Check a vertical's description and build its attributes type. Raises VerticalError."""
    if not _NAME.fullmatch(spec.name):
        raise VerticalError(f"name {spec.name!r}: lower case letters, digits and _ only")
    if not 1 <= spec.offer_life_s <= 86_400:
        raise VerticalError("offer_life_s: 1 to 86400 seconds")
    _check_quality(spec)
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for name, attribute in spec.attributes.items():
        if not _NAME.fullmatch(name):
            raise VerticalError(f"attributes.{name}: lower case letters, digits and _ only")
        if name in CONTACT_FIELDS:
            raise VerticalError(f"attributes.{name}: contact data cannot be an attribute")
        kind = _type_of(name, attribute)
        fields.append((name, kind) if attribute.required else (name, kind | UnsetType, UNSET))
    attributes_type = msgspec.defstruct(
        f"{spec.name.title().replace('_', '')}Attributes",
        fields,
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
        omit_defaults=True,
    )
    return Vertical(
        name=spec.name,
        title=spec.title,
        floor_cents=_floor_cents(spec),
        offer_life_s=spec.offer_life_s,
        max_age_s=spec.max_age_s,
        consent_required=spec.consent_required,
        premium=spec.premium,
        attributes=spec.attributes,
        attributes_type=attributes_type,
        consent=spec.consent,
        quality=spec.quality,
        impossible=spec.impossible,
    )


def _check_quality(spec: VerticalSpec) -> None:
    unknown = sorted(set(spec.quality.refuse) - CHECKS.keys())
    if unknown:
        raise VerticalError(f"quality.refuse: {unknown[0]} is none of {', '.join(CHECKS)}")
    if not 0 <= spec.quality.refuse_score_below <= 100:
        raise VerticalError("quality.refuse_score_below: 0 to 100")
    for i, one in enumerate(spec.impossible):
        if not 0 <= one.points <= 100:
            raise VerticalError(f"impossible[{i}].points: 0 to 100")
        if not one.message:
            raise VerticalError(f"impossible[{i}].message: must say why")
    consent = spec.consent
    if consent is not None and consent.max_age_s is not None:
        if consent.given_at is None:
            raise VerticalError("consent.max_age_s: needs given_at, the name of the time")
        if consent.max_age_s < 1:
            raise VerticalError("consent.max_age_s: 1 or more seconds")
    if consent is not None and consent.text_versions and consent.text_version is None:
        raise VerticalError("consent.text_versions: needs text_version, the name of the version")


def _floor_cents(spec: VerticalSpec) -> int:
    try:
        return parse_cents(spec.floor)
    except MoneyError as fault:
        raise VerticalError(f"floor: {fault}") from None


def _type_of(name: str, attribute: AttributeSpec) -> Any:
    match attribute.kind:
        case "boolean":
            return bool
        case "integer":
            low, high = _whole(name, attribute.min), _whole(name, attribute.max)
            return Annotated[int, Meta(ge=low, le=high)]
        case "decimal":
            # A whole number stays one, so that 150 is passed on as 150 and not as 150.0.
            whole = Annotated[int, Meta(ge=_ceil(attribute.min), le=_floor(attribute.max))]
            return whole | Annotated[float, Meta(ge=attribute.min, le=attribute.max)]
        case "zip":
            # The length keeps out a final newline, which the pattern's end would let pass.
            return Annotated[str, Meta(pattern=r"^[0-9]{5}$", max_length=5)]
        case "state":
            return Literal[STATES]
        case "choice":
            if not attribute.allowed:
                raise VerticalError(f"attributes.{name}.allowed: a choice needs its values")
            return Literal[attribute.allowed]
        case "text":
            return Annotated[str, Meta(min_length=1, max_length=attribute.max_length)]


def _whole(name: str, bound: float | None) -> int | None:
    if bound is not None and not float(bound).is_integer():
        raise VerticalError(f"attributes.{name}: the bounds of an integer are whole numbers")
    return None if bound is None else int(bound)


def _finite(bound: float) -> float:
    if not math.isfinite(bound):
        raise VerticalError("bounds are finite numbers")
    return bound


def _ceil(bound: float | None) -> int | None:
    return None if bound is None else math.ceil(_finite(bound))


def _floor(bound: float | None) -> int | None:
    return None if bound is None else math.floor(_finite(bound))


def looks_like_contact(text: str) -> bool:
    """Whether a text looks like a phone number or an email address."""
    return _LOOKS_LIKE_CONTACT.search(text) is not None


def find_contact_data(values: dict[str, str]) -> str | None:
    """The name of the first text that looks like a phone number or an email address, or None."""
    return next((name for name, value in values.items() if looks_like_contact(value)), None)
