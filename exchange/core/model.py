"""The market's nouns: who takes part, what a lead, a campaign and an offer are.

Frozen structs of plain data; decoded at the edge, decided over in the core, stored as they are.
Money is integer cents, times are aware UTC datetimes. Source: rules §1, §3, §7.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Literal, NewType

from msgspec import Raw, Struct

from exchange.core.dialect import Dialect, PresetUse
from exchange.core.dynamic import DayFactors
from exchange.core.quality.flaws import BEST_SCORE, Flaw
from exchange.core.quality.requires import Requires
from exchange.core.remote import Remote
from exchange.core.terms import Applied

SellerId = NewType("SellerId", str)
CompanyId = NewType("CompanyId", str)
CampaignId = NewType("CampaignId", str)
PingId = NewType("PingId", str)
LeadId = NewType("LeadId", str)
DeliveryId = NewType("DeliveryId", str)

Cascade = Literal["promised", "min_price"]
"""How far a post may fall: to the promised price, or down to the ping's ``min_price``."""

Period = Literal["hour", "day", "week", "month"]

AttributeValue = str | int | float | bool


class Policy(Struct, frozen=True, kw_only=True):
    """The operator's market policy; defaults are those of the rules.

    ``_bp`` are basis points (1,000 is 10 %), ``_cents`` cents, ``_days`` days, ``_s`` seconds.
    ``adjustments`` are the days on which thresholds and penalties moved with the market (§10).
    """

    take_rate_bp: int = 1_500
    rectify: Literal["rank_and_charge", "rank_only"] = "rank_and_charge"
    unclear: Literal["hold", "resell"] = "hold"
    window_days: int = 30
    half_life_days: int | None = None
    crm_threshold_bp: int = 1_000
    conditional_overall_bp: int = 500
    protection_cents: int = 500_000
    reset_interval_days: int = 30
    rejection_window_s: int = 48 * 3600
    max_ranks: int = 5
    market_timezone: str = "UTC"
    adjustments: Mapping[date, DayFactors] = {}


class Condition(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename={"not_": "not"},
):
    """A node of a filter: either one of ``all``, ``any``, ``not``, or a field with op and value."""

    all: tuple[Condition, ...] | None = None
    any: tuple[Condition, ...] | None = None
    not_: Condition | None = None
    field: str | None = None
    op: str | None = None
    value: AttributeValue | tuple[AttributeValue, ...] | None = None


class Modifier(Struct, frozen=True, kw_only=True):
    """Changes a campaign's prices where a condition holds: adds cents, then applies basis points.

    ``multiply_bp`` is the factor in basis points (11,000 is 110 %).
    """

    when: Condition
    add_cents: int = 0
    multiply_bp: int = 10_000


class Bid(Struct, frozen=True, kw_only=True):
    """A campaign's price list: an exclusive price, and a price for each share count it accepts.

    With ``remote`` there is no list: the company's own bidder names the price of each ping.
    """

    exclusive_cents: int | None = None
    shared_cents: dict[int, int] = {}
    modifiers: tuple[Modifier, ...] = ()
    remote: Remote | None = None


class Cap(Struct, frozen=True, kw_only=True):
    """At most so many leads, or so many cents, in each period of the campaign's timezone."""

    period: Period
    leads: int | None = None
    spend_cents: int | None = None


class OpenHours(Struct, frozen=True, kw_only=True):
    """A window of a schedule: days as 0 (Monday) … 6, minutes of the day, end exclusive.

    An end at or before the start runs past midnight into the next day.
    """

    days: tuple[int, ...]
    from_minute: int
    to_minute: int


class Schedule(Struct, frozen=True, kw_only=True):
    """When a campaign buys, in its own timezone; no windows means always."""

    timezone: str = "UTC"
    windows: tuple[OpenHours, ...] = ()


class DeliveryTarget(Struct, frozen=True, kw_only=True):
    """One way to hand a lead to a company; the first of a campaign is primary, the rest backups.

    ``to`` are the addresses of a mail. How the company's system is spoken to is a dialect or a
    preset, at most one of them; with neither, it is the exchange's own way.
    """

    kind: Literal["http", "email", "inbox", "webhook"]
    url: str | None = None
    to: tuple[str, ...] = ()
    dialect: Dialect | None = None
    preset: PresetUse | None = None
    timeout_ms: int = 5_000
    attempts: int = 2


class Campaign(Struct, frozen=True, kw_only=True):
    """What a company wants, at what price, and how it takes delivery."""

    campaign_id: CampaignId
    company_id: CompanyId
    name: str
    vertical: str
    active: bool = True
    filter: Condition | None = None
    bid: Bid
    caps: tuple[Cap, ...] = ()
    schedule: Schedule = Schedule()
    max_age_s: int | None = None
    requires: Requires | None = None
    delivery: tuple[DeliveryTarget, ...]


class Ping(Struct, frozen=True, kw_only=True, gc=False):
    """An anonymous lead as a seller offers it.

    ``attributes`` is an instance of the vertical's own attributes type. ``contact_hashes`` are
    keyed hashes of the seller's digests by field, for checking the post, and ``contact_keys`` the
    same without their fields, for finding repeats; ``sold_to`` who bought a lead of this contact
    before, ``suppressed_by`` who does not want one. ``quality_score`` (0 to 100) is what ``flaws``
    leave of it.
    """

    ping_id: PingId
    seller_id: SellerId
    vertical: str
    attributes: Struct
    contact_hashes: dict[str, str] = {}
    contact_keys: tuple[str, ...] = ()
    sold_to: frozenset[CompanyId] = frozenset()
    suppressed_by: frozenset[CompanyId] = frozenset()
    captured_at: datetime
    received_at: datetime
    source: dict[str, str] = {}
    consent: dict[str, str] = {}
    max_buyers: int = 1
    min_price_cents: int = 0
    cascade: Cascade = "promised"
    timeout_ms: int = 500
    test: bool = False
    quality_score: int = BEST_SCORE
    flaws: tuple[Flaw, ...] = ()


class Ranked(Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """A company in line for a lead: what its bid was worth at the ping, in cents.

    Written as an array, as every offer has several: new fields go last, with a default.

    ``rejected`` over ``assigned`` is the exact overall rate the price was rectified by, and
    ``first_look`` marks the round among qualified companies where the lead is premium. ``token``
    is what the company's own bidder said with its bid; it goes back to it with the lead. ``drawn``
    is the draw where one was needed to settle equal prices, ``terms`` what a contract made of the
    list price, if it changed it.
    """

    campaign_id: CampaignId
    company_id: CompanyId
    base_cents: int
    rectified_cents: int
    charged_cents: int
    rejected: int = 0
    assigned: int = 0
    first_look: bool = False
    token: str | None = None
    drawn: int | None = None
    terms: Applied | None = None


class Offer(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A binding price: all a post needs, so that nothing is decided twice.

    ``legs_cents`` is the seller's price of each leg; ``ranks`` the companies in line for share
    count ``share``, best first, the first ``len(legs_cents)`` of them the winners.
    ``attributes`` is the pinged JSON object as it was read. ``quality_score`` and ``flaws`` are the
    ping's, ``contact_flaws`` those of the contact it was posted with; ``consent`` is the pinged
    proof of consent, which stays with the lead.
    """

    ping_id: PingId
    seller_id: SellerId
    vertical: str
    attributes: Raw
    contact_hashes: dict[str, str]
    source: dict[str, str]
    share: int
    legs_cents: tuple[int, ...]
    ranks: tuple[Ranked, ...]
    min_price_cents: int
    cascade: Cascade
    take_rate_bp: int
    test: bool
    captured_at: datetime
    decided_at: datetime
    expires_at: datetime
    quality_score: int = BEST_SCORE
    flaws: tuple[Flaw, ...] = ()
    contact_flaws: tuple[Flaw, ...] = ()
    consent: dict[str, str] = {}
