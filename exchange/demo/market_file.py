"""The demo market's file: who takes part, and with which campaigns.

A campaign is kept as the wire takes it, but for the CRMs' addresses, which only a running CRM
server knows.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from exchange.demo.faults import DemoFailed
from exchange.settings import PACKAGED_CONFIG
from exchange.web.wire_campaigns import CampaignBody

MARKET_FILE: Final = PACKAGED_CONFIG / "demo_market.toml"

_CRM: Final = "crm:"
"""Marks a delivery to one of the CRM server's CRMs, by name."""


class DemoCompanyFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One company, and its campaigns as the wire takes them."""

    name: str
    campaigns: tuple[dict[str, Any], ...]

    @property
    def crm(self) -> str | None:
        """The name of the CRM its first delivery to one goes to."""
        return next(iter(sorted(crms_of(self.campaigns[:1]))), None) if self.campaigns else None


class DemoMarketFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    seller: str
    companies: tuple[DemoCompanyFile, ...]


def read_market_file(path: Path = MARKET_FILE) -> DemoMarketFile:
    """Read the demo market. Raises DemoFailed, naming what is wrong."""
    try:
        market = msgspec.convert(tomllib.loads(path.read_text("utf-8")), DemoMarketFile)
    except OSError as error:
        raise DemoFailed(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, msgspec.ValidationError) as error:
        raise DemoFailed(f"{path} is no demo market: {error}") from None
    for company in market.companies:
        for campaign in company.campaigns:
            told = f"{company.name}, campaign {campaign.get('name', '?')}"
            try:
                decode_campaign(campaign)
            except msgspec.ValidationError as error:
                raise DemoFailed(f"{path}: {told}: {error}") from None
    return market


def decode_campaign(body: Mapping[str, Any]) -> CampaignBody:
    """Read a campaign's body as the wire does. Raises msgspec.ValidationError."""
    return msgspec.json.decode(msgspec.json.encode(body), type=CampaignBody)


def crms_of(campaigns: tuple[dict[str, Any], ...]) -> set[str]:
    """The names of the CRMs that campaigns deliver to."""
    urls = (target.get("url", "") for body in campaigns for target in body.get("delivery", ()))
    return {url.removeprefix(_CRM) for url in urls if url.startswith(_CRM)}


def with_crm_urls(campaign: Mapping[str, Any], crm_urls: Mapping[str, str]) -> dict[str, Any]:
    """A campaign's body with the CRMs' real addresses. Raises DemoFailed for an unknown CRM."""
    delivery = []
    for target in campaign.get("delivery", ()):
        name = target.get("url", "").removeprefix(_CRM)
        if name == target.get("url", ""):
            delivery.append(target)
        elif name in crm_urls:
            delivery.append({**target, "url": crm_urls[name]})
        else:
            raise DemoFailed(f"no CRM is named {name}; there are {', '.join(sorted(crm_urls))}")
    return {**campaign, "delivery": delivery}
