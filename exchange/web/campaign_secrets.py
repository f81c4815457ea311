"""Secrets in campaigns' dialects: shown as a mask, kept where the mask comes back, sealed to rest.

A secret is kept only for the host it was given for: whoever changes where a request goes must know
the secret, so nobody can have it sent to a place of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar
from urllib.parse import urlsplit

from msgspec.structs import replace

from exchange.core.dialect import (
    MASK,
    MAX_SECRET_CHARS,
    Dialect,
    PresetUse,
    Spoken,
    change_secrets,
    secrets_of,
)
from exchange.core.model import Campaign, DeliveryTarget
from exchange.core.remote import Remote
from exchange.flow.faults import Invalid

Place = Remote | DeliveryTarget
P = TypeVar("P", Remote, DeliveryTarget)


def masked(spoken: Spoken | None) -> Spoken | None:
    """The same with every secret masked."""
    return None if spoken is None else change_secrets(spoken, lambda path, secret: MASK)


def keep_secrets(new: Campaign, old: Campaign | None) -> Campaign:
    """Put the old campaign's secrets where the new one has the mask.

    Raises Invalid with the place of one that cannot be kept.
    """
    bid = new.bid
    if bid.remote is not None:
        before = None if old is None else old.bid.remote
        earlier = [] if before is None else [before]
        bid = replace(bid, remote=_kept(bid.remote, earlier, "bid.remote"))
    targets = []
    for i, target in enumerate(new.delivery):
        known = [] if old is None else [*old.delivery[i : i + 1], *old.delivery]
        same = [one for one in known if one.kind == target.kind]
        targets.append(_kept(target, same, f"delivery[{i}]"))
    return replace(new, bid=bid, delivery=tuple(targets))


def seal_secrets(campaign: Campaign, seal: Callable[[str], str]) -> Campaign:
    """The same with every secret sealed. Raises Invalid for one that is too long to be kept."""

    def change(path: str, secret: str) -> str:
        sealed = seal(secret)
        if len(sealed) > MAX_SECRET_CHARS:
            raise Invalid(f"{path} is too long a secret.", field=path)
        return sealed

    bid = campaign.bid
    if bid.remote is not None:
        bid = replace(bid, remote=_changed(bid.remote, change))
    delivery = tuple(_changed(target, change) for target in campaign.delivery)
    return replace(campaign, bid=bid, delivery=delivery)


def _kept(place: P, earlier: Sequence[P], at: str) -> P:
    spoken: Dialect | PresetUse | None = place.dialect or place.preset
    if spoken is None or MASK not in secrets_of(spoken).values():
        return place
    part = "dialect" if place.dialect is not None else "preset"
    known = _secrets_before(place, earlier)

    def keep(path: str, secret: str) -> str:
        if secret != MASK:
            return secret
        if path not in known:
            field = f"{at}.{part}.{path}"
            raise Invalid(f"{field} is masked, and there is none to keep.", field=field)
        return known[path]

    return _changed(place, keep)


def _secrets_before(place: P, earlier: Sequence[P]) -> dict[str, str]:
    """The secrets of the first earlier place that is spoken to alike, and at the same hosts."""
    for one in earlier:
        before: Dialect | PresetUse | None = one.dialect or one.preset
        if before is not None and _destination(one) == _destination(place):
            return secrets_of(before)
    return {}


def _destination(place: Place) -> tuple[object, ...]:
    to = place.to if isinstance(place, DeliveryTarget) else ()
    if place.preset is not None:
        own = place.preset.params.get("url")
        return (_host(place.url), to, place.preset.name, _host(own))
    dialect = place.dialect
    speeches = () if dialect is None else (dialect.ping, dialect.post)
    urls = [None if speech is None else speech.url for speech in speeches]
    return (_host(place.url), to, *(_host(url) for url in urls))


def _host(url: str | None) -> str | None:
    if url is None:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    return f"{parts.scheme}://{parts.netloc}".lower()


def _changed(place: P, change: Callable[[str, str], str]) -> P:
    if place.dialect is not None:
        return replace(place, dialect=change_secrets(place.dialect, change))
    if place.preset is not None:
        return replace(place, preset=change_secrets(place.preset, change))
    return place
