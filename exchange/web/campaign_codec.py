"""A campaign between the wire and the core: dollars into cents, clock times into minutes, and back.

Checked here is what the types cannot say; whether filters fit their vertical is the core's.
"""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from typing import Final, get_args
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from exchange.core.dialect import PresetUse
from exchange.core.model import (
    Bid,
    Campaign,
    CampaignId,
    Cap,
    CompanyId,
    Condition,
    DeliveryTarget,
    Modifier,
    OpenHours,
    Schedule,
)
from exchange.core.money import BASIS_POINTS, MoneyError, parse_signed_cents
from exchange.core.remote import Remote
from exchange.flow.faults import Invalid
from exchange.flow.registry import CampaignRecord
from exchange.web.campaign_secrets import masked
from exchange.web.contacts import normalise_email
from exchange.web.quality_codec import read_requires, show_requires
from exchange.web.wire import LARGEST_INTEGER, cents, dollars
from exchange.web.wire_campaigns import (
    BidBody,
    CampaignAnswer,
    CampaignBody,
    CapBody,
    Day,
    DeliveryBody,
    ModifierBody,
    OpenHoursBody,
    RemoteBody,
    ScheduleBody,
)

_DAYS: Final[tuple[Day, ...]] = get_args(Day)
_MAX_FACTOR: Final = 10
_DEFAULTS: Final = DeliveryTarget(kind="inbox")
_REMOTE_DEFAULTS: Final = Remote()
_HTTP: Final = ("http", "https")
_STREAM: Final = ("ws", "wss")


def read_campaign(
    body: CampaignBody, campaign_id: CampaignId, company_id: CompanyId, max_buyers: int
) -> Campaign:
    """Read a campaign's body. Raises Invalid with the field named."""
    paused = body.status == "paused"
    if body.active is not None and body.status is not None and body.active == paused:
        raise Invalid("active contradicts status.", field="active")
    active = body.active if body.active is not None else not paused
    _check_numbers(body.filter, "filter")
    return Campaign(
        campaign_id=campaign_id,
        company_id=company_id,
        name=body.name,
        vertical=body.vertical,
        active=active,
        filter=body.filter,
        bid=_read_bid(body.bid, max_buyers),
        caps=tuple(_read_cap(cap, f"caps[{i}]") for i, cap in enumerate(body.caps)),
        schedule=_read_schedule(body.schedule),
        max_age_s=body.max_age_hours * 3600 if body.max_age_hours is not None else None,
        requires=read_requires(body.requires),
        delivery=tuple(
            _read_target(target, f"delivery[{i}]") for i, target in enumerate(body.delivery)
        ),
    )


def _check_numbers(condition: Condition | None, path: str) -> None:
    """Refuse integers that not every reader of JSON can hold."""
    if condition is None:
        return
    values = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    if any(isinstance(value, int) and abs(value) > LARGEST_INTEGER for value in values):
        raise Invalid(f"{path}.value is too large a number.", field=f"{path}.value")
    _check_numbers(condition.not_, f"{path}.not")
    for name, nodes in (("all", condition.all), ("any", condition.any)):
        for i, node in enumerate(nodes or ()):
            _check_numbers(node, f"{path}.{name}[{i}]")


def _read_bid(body: BidBody, max_buyers: int) -> Bid:
    if body.remote is not None:
        return _read_remote_bid(body, body.remote, max_buyers)
    if body.exclusive is None and not body.shared:
        raise Invalid("bid needs at least one price.", field="bid", code="missing_field")
    for share in body.shared:
        if not 2 <= share <= max_buyers:
            raise Invalid(
                f"bid.shared takes prices for 2 to {max_buyers} buyers.", field="bid.shared"
            )
    return Bid(
        exclusive_cents=_price(body.exclusive, "bid.exclusive")
        if body.exclusive is not None
        else None,
        shared_cents={
            share: _price(price, f"bid.shared.{share}")
            for share, price in sorted(body.shared.items())
        },
        modifiers=tuple(
            _read_modifier(modifier, f"bid.modifiers[{i}]")
            for i, modifier in enumerate(body.modifiers)
        ),
    )


def _read_remote_bid(body: BidBody, remote: RemoteBody, max_buyers: int) -> Bid:
    for name in ("exclusive", "shared", "modifiers"):
        if getattr(body, name):
            field = f"bid.{name}"
            raise Invalid(f"{field} does not go with bid.remote.", field=field)
    at = "bid.remote"
    shares = remote.shares or _REMOTE_DEFAULTS.shares
    if len(set(shares)) != len(shares) or not all(1 <= share <= max_buyers for share in shares):
        field = f"{at}.shares"
        raise Invalid(f"{field} takes each of 1 to {max_buyers} buyers once.", field=field)
    preset = _read_preset(remote.preset)
    if remote.dialect is not None and preset is not None:
        raise Invalid(f"{at}.preset does not go with a dialect.", field=f"{at}.preset")
    if remote.stream and (remote.dialect is not None or preset is not None):
        field = f"{at}.{'dialect' if preset is None else 'preset'}"
        raise Invalid(f"{field} does not go with a stream.", field=field)
    if remote.url is not None:
        _check_url(remote.url, f"{at}.url", _STREAM if remote.stream else _HTTP)
    elif remote.dialect is None and preset is None:
        raise Invalid(f"{at}.url is missing.", field=f"{at}.url", code="missing_field")
    return Bid(
        remote=Remote(
            url=remote.url,
            timeout_ms=remote.timeout_ms or _REMOTE_DEFAULTS.timeout_ms,
            max_price_cents=_REMOTE_DEFAULTS.max_price_cents
            if remote.max_price is None
            else _price(remote.max_price, f"{at}.max_price"),
            max_per_s=remote.max_per_s,
            shares=tuple(sorted(shares)),
            stream=remote.stream,
            simulate=remote.simulate,
            dialect=remote.dialect,
            preset=preset,
        )
    )


def _read_preset(given: PresetUse | str | None) -> PresetUse | None:
    return PresetUse(name=given) if isinstance(given, str) else given


def _price(amount: Decimal, field: str) -> int:
    price = cents(amount, field)
    if price == 0:
        raise Invalid(f"{field} must be more than 0.", field=field)
    return price


def _read_modifier(body: ModifierBody, path: str) -> Modifier:
    if body.add is None and body.multiply is None:
        raise Invalid(f"{path} needs add or multiply.", field=path, code="missing_field")
    _check_numbers(body.when, f"{path}.when")
    add_cents = 0
    if body.add is not None:
        try:
            add_cents = parse_signed_cents(body.add)
        except MoneyError as error:
            raise Invalid(f"{path}.add {error}", field=f"{path}.add") from None
    return Modifier(
        when=body.when,
        add_cents=add_cents,
        multiply_bp=_factor_bp(body.multiply, f"{path}.multiply")
        if body.multiply is not None
        else BASIS_POINTS,
    )


def _factor_bp(factor: Decimal, field: str) -> int:
    if not factor.is_finite() or not 0 < factor <= _MAX_FACTOR:
        raise Invalid(f"{field} must be more than 0 and at most {_MAX_FACTOR}.", field=field)
    scaled = factor * BASIS_POINTS
    if scaled != scaled.to_integral_value():
        raise Invalid(f"{field} must have at most four decimals.", field=field)
    return int(scaled)


def _read_cap(body: CapBody, path: str) -> Cap:
    if body.leads is None and body.spend is None:
        raise Invalid(f"{path} needs leads or spend.", field=path, code="missing_field")
    return Cap(
        period=body.period,
        leads=body.leads,
        spend_cents=_price(body.spend, f"{path}.spend") if body.spend is not None else None,
    )


@cache
def _timezones() -> frozenset[str]:
    return frozenset(available_timezones())


def _read_schedule(body: ScheduleBody) -> Schedule:
    if body.timezone not in _timezones():
        raise Invalid(
            "schedule.timezone is not a timezone such as America/New_York.",
            field="schedule.timezone",
        )
    return Schedule(
        timezone=body.timezone,
        windows=tuple(
            OpenHours(
                days=tuple(sorted({_DAYS.index(day) for day in window.days})),
                from_minute=_minute(window.from_),
                to_minute=_minute(window.to),
            )
            for window in body.windows
        ),
    )


def _minute(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:])


def _read_target(body: DeliveryBody, path: str) -> DeliveryTarget:
    preset = _read_preset(body.preset)
    if body.dialect is not None and preset is not None:
        raise Invalid(f"{path}.preset does not go with a dialect.", field=f"{path}.preset")
    spoken = body.dialect is not None or preset is not None
    given = {"url": body.url is not None, "to": bool(body.to), "dialect": spoken, "preset": spoken}
    for name in _NOT_FOR[body.kind]:
        if given[name] and getattr(body, name):
            field = f"{path}.{name}"
            raise Invalid(f"{field} does not belong to {_NOUNS[body.kind]}.", field=field)
    if body.url is not None:
        _check_url(body.url, f"{path}.url", _HTTP)
    elif body.kind in ("http", "webhook") and not spoken:
        raise Invalid(f"{path}.url is missing.", field=f"{path}.url", code="missing_field")
    if body.kind == "email" and not body.to:
        raise Invalid(f"{path}.to is missing.", field=f"{path}.to", code="missing_field")
    return DeliveryTarget(
        kind=body.kind,
        url=body.url,
        to=tuple(_read_address(text, f"{path}.to[{i}]") for i, text in enumerate(body.to)),
        dialect=body.dialect,
        preset=preset,
        timeout_ms=_DEFAULTS.timeout_ms if body.timeout_ms is None else body.timeout_ms,
        attempts=_DEFAULTS.attempts if body.attempts is None else body.attempts,
    )


_NOT_FOR: Final = {
    "http": ("to",),
    "webhook": ("to",),
    "email": ("url",),
    "inbox": ("url", "to", "dialect", "preset"),
}
_NOUNS: Final = {
    "http": "an http delivery",
    "webhook": "a webhook",
    "email": "an email",
    "inbox": "an inbox",
}


def _read_address(text: str, field: str) -> str:
    address = normalise_email(text, field)
    if not address.isascii():
        raise Invalid(f"{field} must be written in ASCII.", field=field)
    return address


def _check_url(url: str, field: str, schemes: tuple[str, ...]) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not url.isprintable() or " " in url:
        kinds = "a ws, wss, http or https" if len(schemes) > 2 else "an http or https"
        raise Invalid(f"{field} must be {kinds} URL.", field=field)
    if "@" in parts.netloc:
        raise Invalid(f"{field} must not carry a user or password.", field=field)


# --- answers --------------------------------------------------------------------------------------


def show_campaign(record: CampaignRecord) -> CampaignAnswer:
    """Write a campaign in the form it was given."""
    campaign = record.campaign
    return CampaignAnswer(
        campaign_id=campaign.campaign_id,
        company_id=campaign.company_id,
        name=campaign.name,
        vertical=campaign.vertical,
        status="active" if campaign.active else "paused",
        active=campaign.active,
        filter=campaign.filter,
        bid=_show_bid(campaign.bid),
        caps=tuple(
            CapBody(
                period=cap.period,
                leads=cap.leads,
                spend=dollars(cap.spend_cents) if cap.spend_cents is not None else None,
            )
            for cap in campaign.caps
        ),
        schedule=_show_schedule(campaign.schedule),
        max_age_hours=campaign.max_age_s // 3600 if campaign.max_age_s is not None else None,
        requires=show_requires(campaign.requires),
        delivery=tuple(_show_target(target) for target in campaign.delivery),
        version=record.version,
        created_at=record.created_at,
        updated_at=record.updated_at,
    )


def _show_bid(bid: Bid) -> BidBody:
    return BidBody(
        exclusive=dollars(bid.exclusive_cents) if bid.exclusive_cents is not None else None,
        shared={share: dollars(price) for share, price in bid.shared_cents.items()},
        modifiers=tuple(
            ModifierBody(
                when=modifier.when,
                add=dollars(modifier.add_cents) if modifier.add_cents else None,
                multiply=Decimal(modifier.multiply_bp).scaleb(-4)
                if modifier.multiply_bp != BASIS_POINTS or not modifier.add_cents
                else None,
            )
            for modifier in bid.modifiers
        ),
        remote=None if bid.remote is None else _show_remote(bid.remote),
    )


def _show_remote(remote: Remote) -> RemoteBody:
    usual = _REMOTE_DEFAULTS
    return RemoteBody(
        url=remote.url,
        timeout_ms=None if remote.timeout_ms == usual.timeout_ms else remote.timeout_ms,
        max_price=None
        if remote.max_price_cents == usual.max_price_cents
        else dollars(remote.max_price_cents),
        max_per_s=remote.max_per_s,
        shares=None if remote.shares == usual.shares else remote.shares,
        stream=remote.stream,
        simulate=remote.simulate,
        dialect=masked(remote.dialect),
        preset=masked(remote.preset),
    )


def _show_schedule(schedule: Schedule) -> ScheduleBody:
    return ScheduleBody(
        timezone=schedule.timezone,
        windows=tuple(
            OpenHoursBody(
                days=tuple(_DAYS[day] for day in window.days),
                from_=_clock(window.from_minute),
                to=_clock(window.to_minute),
            )
            for window in schedule.windows
        ),
    )


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


def _show_target(target: DeliveryTarget) -> DeliveryBody:
    return DeliveryBody(
        kind=target.kind,
        url=target.url,
        to=target.to,
        dialect=masked(target.dialect),
        preset=masked(target.preset),
        timeout_ms=None if target.timeout_ms == _DEFAULTS.timeout_ms else target.timeout_ms,
        attempts=None if target.attempts == _DEFAULTS.attempts else target.attempts,
    )
