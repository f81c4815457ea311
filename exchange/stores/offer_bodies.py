"""Offers as they are stored, in JSON; also as they were stored before those in line were arrays."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import NODEFAULT
from msgspec.structs import FieldInfo, fields

from exchange.core.model import Offer, Ranked

_decode: Final = msgspec.json.Decoder(Offer).decode


def _default_of(field: FieldInfo) -> Any:
    return field.default if field.default is not NODEFAULT else field.default_factory()


_Ranks = tuple[dict[str, Any], ...]
_before: Final = msgspec.json.Decoder(
    msgspec.defstruct(
        "_OfferBefore",
        [
            (field.name, _Ranks if field.name == "ranks" else field.type)
            if field.required
            else (field.name, field.type, _default_of(field))
            for field in fields(Offer)
        ],
        kw_only=True,
    )
).decode


def read_offer(body: bytes | msgspec.Raw) -> Offer:
    """An offer from its JSON. Raises msgspec.ValidationError for what is none."""
    try:
        return _decode(body)
    except msgspec.ValidationError:
        before = msgspec.structs.asdict(_before(body))
        ranks = msgspec.convert([_values(rank) for rank in before["ranks"]], tuple[Ranked, ...])
        return Offer(**{**before, "ranks": ranks})


def _values(rank: dict[str, Any]) -> list[Any]:
    """A company in line, once written by the names of its fields, as the array it is now."""
    return [
        rank[field.name] if field.required else rank.get(field.name, field.default)
        for field in fields(Ranked)
    ]
