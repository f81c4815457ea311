"""The demo market on a running exchange: its accounts and campaigns, made over the wire.

Made once for a home and found again at the next start; only the CRMs' addresses change then.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
from msgspec import Struct

from exchange.demo.faults import DemoFailed
from exchange.demo.market_file import DemoCompanyFile, read_market_file, with_crm_urls

_KEPT: Final = "demo_market.json"
CALL_S: Final = 10.0
"""Longest one call to the exchange may take; a healthy one takes milliseconds."""


class Member(Struct, kw_only=True):
    """A seller or company of the market; ``campaigns`` are ids by name."""

    name: str
    id: str
    api_key: str
    campaigns: dict[str, str] = {}


class DemoMarket(Struct, kw_only=True):
    """Who takes part, with their keys; kept in the home, for its owner's eyes alone."""

    operator_key: str = ""
    seller: Member
    companies: list[Member]


async def open_market(
    base_url: str, operator_key: str, crm_urls: Mapping[str, str], home: Path
) -> DemoMarket:
    """Make the market or bring it up to date. Raises DemoFailed with what the exchange said."""
    file = read_market_file()
    timeout = aiohttp.ClientTimeout(total=CALL_S)
    async with aiohttp.ClientSession(base_url, timeout=timeout) as session:
        wire = _Wire(session)
        kept = _read_kept(home)
        if kept is None or not await wire.knows(kept.seller.api_key):
            kept = await _make_accounts(wire, operator_key, file.seller, file.companies)
            _keep(home, kept)
        for company, member in zip(file.companies, kept.companies, strict=True):
            for campaign in company.campaigns:
                await _save_campaign(wire, member, with_crm_urls(campaign, crm_urls))
        _keep(home, kept)
    kept.operator_key = operator_key
    return kept


async def _make_accounts(
    wire: _Wire, operator_key: str, seller: str, companies: tuple[DemoCompanyFile, ...]
) -> DemoMarket:
    made = [
        Member(
            name=name,
            **await wire.call("POST", path, operator_key, {"name": name}, keep=("id", "api_key")),
        )
        for path, name in [
            ("/v1/sellers", seller),
            *(("/v1/companies", company.name) for company in companies),
        ]
    ]
    return DemoMarket(seller=made[0], companies=made[1:])


async def _save_campaign(wire: _Wire, member: Member, body: dict[str, Any]) -> None:
    name = str(body["name"])
    known = member.campaigns.get(name)
    if known is not None and await wire.call(
        "PUT", f"/v1/campaigns/{known}", member.api_key, body, missing_is_none=True
    ):
        return
    made = await wire.call("POST", "/v1/campaigns", member.api_key, body, keep=("campaign_id",))
    member.campaigns[name] = made["campaign_id"]


class _Wire:
    """Calls to the exchange, every fault in words."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def knows(self, api_key: str) -> bool:
        """Whether a key is still one of the exchange's."""
        headers = {"Authorization": f"Bearer {api_key}"}
        try:
            async with self._session.get("/v1/verticals", headers=headers) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError) as error:
            raise DemoFailed(f"the exchange does not answer: {error!r}") from None

    async def call(
        self,
        method: str,
        path: str,
        api_key: str,
        body: dict[str, Any],
        *,
        keep: tuple[str, ...] = (),
        missing_is_none: bool = False,
    ) -> dict[str, Any]:
        """One call; gives the answer (or the named parts of it), empty where there is no such."""
        headers = {"Authorization": f"Bearer {api_key}"}
        try:
            async with self._session.request(method, path, json=body, headers=headers) as answer:
                told: dict[str, Any] = json.loads(await answer.read() or b"{}")
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise DemoFailed(f"{method} {path} did not come through: {error!r}") from None
        if missing_is_none and answer.status == 404:
            return {}
        if answer.status >= 400:
            fault = f"{told.get('field', '')} {told.get('detail', told)}".strip()
            raise DemoFailed(f"{method} {path} was answered {answer.status}: {fault}")
        return {name: told[name] for name in keep} if keep else told


def _read_kept(home: Path) -> DemoMarket | None:
    try:
        kept = msgspec.json.decode((home / _KEPT).read_bytes(), type=DemoMarket)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
    names = [company.name for company in read_market_file().companies]
    return kept if [company.name for company in kept.companies] == names else None


def _keep(home: Path, market: DemoMarket) -> None:
    """Write the market for the next start; only its owner may read the keys."""
    new = home / f"{_KEPT}.new"
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(market)))
    new.replace(home / _KEPT)


def describe(market: DemoMarket, base_url: str) -> str:
    """What a newcomer reads: where to look, the keys, and a sale to paste into a shell."""
    company = market.companies[0]
    others = "\n".join(f"  {m.name:<28} {m.api_key}" for m in market.companies[1:])
    return f"""
The demo market is open. Look at
  {base_url}/readyz  {base_url}/metrics  {base_url}/openapi.json

Keys
  operator                     {market.operator_key}
  {market.seller.name:<28} {market.seller.api_key}  (seller)
  {company.name:<28} {company.api_key}
{others}

A sale, to paste into a shell, block by block.

# 1. Ping: what is this lead worth?
PING=$(curl -s {base_url}/v1/ping -H 'Authorization: Bearer {market.seller.api_key}' \\
  -H 'Content-Type: application/json' -d '{{"vertical":"solar","attributes":{{"zip":"94107",
  "state":"CA","credit_score":710,"owns_home":true,"monthly_bill":150}}}}'); echo "$PING"
PING_ID=$(echo "$PING" | sed 's/.*"ping_id":"\\([^"]*\\)".*/\\1/')

# 2. Post: sell it, with its contact.
POST=$(curl -s {base_url}/v1/post -H 'Authorization: Bearer {market.seller.api_key}' \\
  -H 'Content-Type: application/json' -d '{{"ping_id":"'$PING_ID'","contact":{{
  "first_name":"Ada","last_name":"Example","phone":"415-555-2671","email":"ada@example.com"}}}}')
echo "$POST"; LEAD_ID=$(echo "$POST" | sed 's/.*"lead_id":"\\([^"]*\\)".*/\\1/')

# 3. The receipt, as the operator sees it: every bid, and why the others lost.
curl -s {base_url}/v1/pings/$PING_ID -H 'Authorization: Bearer {market.operator_key}'; echo

# 4. {company.name} returns the lead; its next bid is worth less.
curl -s {base_url}/v1/leads/$LEAD_ID/rejections -H 'Content-Type: application/json' \\
  -H 'Authorization: Bearer {company.api_key}' -d '{{"text":"number is disconnected"}}'; echo
curl -s {base_url}/v1/companies/{company.id}/standing \\
  -H 'Authorization: Bearer {company.api_key}'; echo
"""
