"""The demo market of `exchange serve --demo-market`: set up over HTTP, as an operator would.

Ids and keys are kept in the home, so that the market is the same after a restart; only the CRMs'
addresses are new. Safe to repeat.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from exchange.demo.client import Client
from exchange.demo.consumers import Consumers
from exchange.demo.crms import start_crms
from exchange.demo.faults import DemoFailed
from exchange.demo.guide import describe
from exchange.demo.market_file import DemoCompanyFile, read_market_file, with_crm_urls
from exchange.demo.model import DemoAccount, DemoMarket

__all__ = ["DemoAccount", "DemoMarket", "describe", "open_market", "start_crms"]

KEPT_FILE: Final = "demo_market.json"

OPENING_S: Final = 60.0
"""Longest the whole opening may take; it takes about two seconds."""

FIRST_LEADS: Final = {"california": 22, "southwest": 6, "gulf": 3, "mountain": 3}
"""Sold when the market is new: without a history, one returned lead would be all a company bought,
and its price nothing."""

AT_ONCE: Final = 6


class _Kept(Struct, kw_only=True):
    """What is kept in the home. ``campaigns`` are ids by company and campaign name."""

    seller: DemoAccount | None = None
    companies: dict[str, DemoAccount] = {}
    campaigns: dict[str, dict[str, str]] = {}
    has_history: bool = False


async def open_market(
    base_url: str, operator_key: str, crm_urls: Mapping[str, str], home: Path
) -> DemoMarket:
    """Set the demo market up on a running exchange, or find it again there.

    ``crm_urls`` are where the CRMs take leads, by name. Raises DemoFailed, saying what the exchange
    answered.
    """
    file = read_market_file()
    path = home / KEPT_FILE
    kept = _read(path)
    try:
        async with asyncio.timeout(OPENING_S), Client(base_url) as client:
            seller = await _account(client, operator_key, "sellers", file.seller, kept.seller)
            if seller != kept.seller:
                kept.seller, kept.has_history = seller, False
                _write(path, kept)
            for company in file.companies:
                known = kept.companies.get(company.name)
                account = await _account(client, operator_key, "companies", company.name, known)
                if account != known:
                    kept.companies[company.name] = account
                    kept.campaigns[company.name] = {}
                    _write(path, kept)
                ids = kept.campaigns.setdefault(company.name, {})
                await _put_campaigns(client, account, company, crm_urls, ids)
                _write(path, kept)
            if not kept.has_history:
                await _sell_first_leads(client, seller.api_key)
                kept.has_history = True
                _write(path, kept)
    except TimeoutError:
        raise DemoFailed(f"the demo market was not open within {OPENING_S:.0f} s") from None
    return DemoMarket(
        operator_key=operator_key,
        seller=seller,
        companies=tuple(kept.companies[company.name] for company in file.companies),
    )


async def _account(
    client: Client, operator_key: str, kind: str, name: str, known: DemoAccount | None
) -> DemoAccount:
    """The account as it is kept if its key still works, else a new one."""
    if known is not None and await client.knows_key(known.api_key):
        return known
    made = await client.call("POST", f"/v1/{kind}", operator_key, {"name": name})
    return DemoAccount(name=name, id=made["id"], api_key=made["api_key"])


async def _put_campaigns(
    client: Client,
    account: DemoAccount,
    company: DemoCompanyFile,
    crm_urls: Mapping[str, str],
    ids: dict[str, str],
) -> None:
    """Create or replace a company's campaigns, and delete those no longer in the file."""
    wanted = {body["name"]: with_crm_urls(body, crm_urls) for body in company.campaigns}
    for name, body in wanted.items():
        saved = None
        if name in ids:
            path = f"/v1/campaigns/{ids[name]}"
            saved = await client.call("PUT", path, account.api_key, body, or_none=True)
        if saved is None:
            saved = await client.call("POST", "/v1/campaigns", account.api_key, body)
        ids[name] = saved["campaign_id"]
    for name in [name for name in ids if name not in wanted]:
        path = f"/v1/campaigns/{ids[name]}"
        await client.call("DELETE", path, account.api_key, or_none=True)
        del ids[name]


async def _sell_first_leads(client: Client, seller_key: str) -> None:
    """Sell some leads as any seller would; what nobody takes stays unsold."""
    consumers = Consumers(random.Random(), secrets.token_hex(4))
    gate = asyncio.Semaphore(AT_ONCE)

    async def sell(region: str) -> None:
        person = consumers.next(region)
        ping = {
            "vertical": "solar",
            "attributes": person.attributes,
            "contact_hashes": person.contact_hashes,
        }
        async with gate:
            offer = await client.call("POST", "/v1/ping", seller_key, ping)
            if offer["status"] == "offer":
                contact = msgspec.to_builtins(person.contact)
                post = {"ping_id": offer["ping_id"], "contact": contact}
                await client.call("POST", "/v1/post", seller_key, post)

    regions = [region for region, count in FIRST_LEADS.items() for _ in range(count)]
    await asyncio.gather(*(sell(region) for region in regions))


def _read(path: Path) -> _Kept:
    """What was kept; nothing where there is no such file or it cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Kept)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return _Kept()


def _write(path: Path, kept: _Kept) -> None:
    """Keep it, in one step, for this account's eyes only."""
    new = path.with_name(f"{path.name}.new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new.unlink(missing_ok=True)
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(kept)))
        new.replace(path)
    except OSError as error:
        raise DemoFailed(f"{path} cannot be written: {error.strerror}") from None
