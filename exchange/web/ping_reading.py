"""An ordinary ping's body, read in one step: no form, no contact data in clear, nothing wrong.

Whatever this does not read, `ping_codec.read_ping` reads, or says what is wrong with it; what both
read they read alike. Source: rules §3.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, Union

import msgspec
from msgspec import NODEFAULT, Raw, Struct
from msgspec.structs import fields

from exchange.core.model import Ping, SellerId
from exchange.core.verticals import Vertical
from exchange.web.attributes import AttributesReader
from exchange.web.calls import WebLimits
from exchange.web.ping_codec import make_ping
from exchange.web.problems import Malformed
from exchange.web.wire import PingBody, cents

_decode_price: Final = msgspec.json.Decoder(Decimal).decode
_VERTICAL: Final = b'"vertical"'
_NUL: Final = b"\\u0000"
_NO_PRICE: Final = Raw(b"0")

_REMEMBERED_BYTES: Final = 16
"""Longer than any plain price: what is longer would fill the memory."""


class PingReader:
    """Reads pings of every vertical; each has a type of its own, told apart by its name."""

    def __init__(self, verticals: Mapping[str, Vertical], limits: WebLimits) -> None:
        self._limits = limits
        self._readers = {name: AttributesReader(one) for name, one in verticals.items()}
        types = tuple(_body_of(vertical) for vertical in verticals.values())
        self._decode = msgspec.json.Decoder(Union[types] if types else msgspec.Raw).decode  # noqa: UP007

    def read(self, body: bytes, seller_id: str, now: datetime) -> Ping:
        """Read a body. Raises Fault, msgspec's error or UnicodeDecodeError for any that is not
        ordinary, without saying well what is wrong with it.
        """
        # The type bounds how deep it nests, and its decoder knows UTF-8.
        if body.count(_VERTICAL) != 1 or _NUL in body:
            raise Malformed("not plain")
        ping: Any = self._decode(body)
        price = bytes(ping.min_price)
        if len(price) > _REMEMBERED_BYTES:
            raise Malformed("not plain")
        vertical, seller = ping.__struct_config__.tag, SellerId(seller_id)
        self._readers[vertical].check(ping.attributes)
        return make_ping(
            ping, vertical, ping.attributes, _cents_of(price), seller, now, self._limits
        )


@lru_cache(maxsize=4_096)
def _cents_of(price: bytes) -> int:
    """A price that is a number, in cents: sellers have few, and reading one exactly is dear.

    Raises Invalid for one that is no amount, msgspec's error for what is no number.
    """
    if price.startswith(b'"'):
        raise Malformed("not plain")
    return cents(_decode_price(price), "min_price")


def _body_of(vertical: Vertical) -> type[Struct]:
    """`PingBody` for one vertical: its name is the tag, its attributes have their own type."""
    given: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for field in fields(PingBody):
        if field.name == "attributes":
            given.append((field.name, vertical.attributes_type))
        elif field.name == "min_price":
            given.append((field.name, Raw, _NO_PRICE))
        elif field.name != "vertical":
            default = field.default if field.default_factory is NODEFAULT else {}
            given.append((field.name, field.type, default))
    return msgspec.defstruct(
        f"{vertical.attributes_type.__name__}Ping",
        given,
        tag_field="vertical",
        tag=vertical.name,
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
    )
