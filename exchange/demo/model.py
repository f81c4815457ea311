"""The demo market as it stands: who is in it, with which keys."""

from __future__ import annotations

from msgspec import Struct


class DemoAccount(Struct, frozen=True, kw_only=True):
    """A seller or a company of the demo, with its key in clear."""

    name: str
    id: str
    api_key: str


class DemoMarket(Struct, frozen=True, kw_only=True):
    """The open market; companies in the file's order."""

    operator_key: str
    seller: DemoAccount
    companies: tuple[DemoAccount, ...]
