"""Accounts, keys, campaigns, deposits and resets. Implements `flow.registry.Registry`.

A change of a campaign or company is announced before the method returns.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime
from functools import lru_cache
from typing import Any, Final

import msgspec
from uuid_utils import uuid7

from exchange.core.changes import CampaignChange, CompanyChange, window_of
from exchange.core.hours import period_bounds
from exchange.core.model import Campaign, CampaignId, CompanyId, Policy
from exchange.core.money import format_cents
from exchange.core.reasons import Reason
from exchange.core.reset import judge_reset, missing_cents
from exchange.core.standing import Window, window_start
from exchange.flow.faults import Conflict, Invalid, NotFound, because
from exchange.flow.ports import Role
from exchange.flow.registry import Account, Caller, CampaignRecord, Reset
from exchange.stores.postgres import QUERIES, Postgres, Record
from exchange.stores.postgres_room import decode_change

Announce = Callable[[CompanyChange | CampaignChange], Awaitable[None]]

KNOWN_KEYS: Final = 10_000
"""API keys remembered by a worker, the least recently used forgotten first."""

KEY_MEMORY_S: Final = 5.0
"""How long a worker trusts what it remembers of a key: revoking and blocking take this long."""

_PREFIXES: Final[dict[Role, str]] = {"seller": "sk", "company": "ck", "operator": "ok"}
_encode = msgspec.json.Encoder().encode
_decode_campaign = msgspec.json.Decoder(Campaign).decode


@lru_cache(maxsize=KNOWN_KEYS)
def hash_key(api_key: str) -> bytes:
    """What is stored of an API key: keys are long and random, so a plain SHA-256 holds."""
    return hashlib.sha256(api_key.encode()).digest()


def make_key(role: Role) -> str:
    """A new random API key of 256 bits, its role in the prefix."""
    return f"{_PREFIXES[role]}_{secrets.token_urlsafe(32)}"


class PostgresRegistry:
    """Who and what is registered."""

    def __init__(
        self,
        postgres: Postgres,
        policy: Policy,
        announce: Announce,
        today: Callable[[datetime], date],
        monotonic: Callable[[], float],
    ) -> None:
        self._postgres = postgres
        self._policy = policy
        self._announce = announce
        self._today = today
        self._monotonic = monotonic
        self._known: OrderedDict[bytes, tuple[float, Caller]] = OrderedDict()

    async def who(self, api_key: str) -> Caller | None:
        """The holder of an API key; None if unknown or revoked."""
        known = self.known(api_key)
        if known is not None:
            return known
        hashed = hash_key(api_key)
        row = await self._postgres.row("who", hashed)
        if row is None:
            self._known.pop(hashed, None)
            return None
        caller = Caller(role=row["role"], subject_id=row["subject_id"], active=row["active"])
        self._known[hashed] = (self._monotonic(), caller)
        self._known.move_to_end(hashed)
        if len(self._known) > KNOWN_KEYS:
            self._known.popitem(last=False)
        return caller

    def known(self, api_key: str) -> Caller | None:
        """The holder of an API key that was looked up within `KEY_MEMORY_S`."""
        known = self._known.get(hash_key(api_key))
        if known is None or self._monotonic() - known[0] >= KEY_MEMORY_S:
            return None
        return known[1]

    async def set_operator_key(self, api_key: str, now: datetime) -> None:
        """Make this the operator's first key; keys issued to operators by name stay valid."""
        async with self._postgres.connection() as connection, connection.transaction():
            hashed = hash_key(api_key)
            await connection.execute(QUERIES["operator_keys_revoke_others"], hashed, now)
            await connection.execute(QUERIES["put_operator_key"], hashed, now)

    async def issue_key(self, role: Role, subject_id: str, now: datetime) -> str:
        """A further API key for an account, shown this once. Raises NotFound for no account."""
        if role != "operator" and await self.account(role, subject_id) is None:
            raise NotFound(f"there is no {role} {subject_id}")
        key = make_key(role)
        await self._postgres.run("add_key", hash_key(key), role, subject_id, now)
        return key

    async def revoke_key(self, key_hash: bytes, now: datetime) -> str | None:
        """Revoke a key by its hash; gives whose it was, None if there is none in force."""
        subject: str | None = await self._postgres.value("revoke_key", key_hash, now)
        self._known.pop(key_hash, None)
        return subject

    async def keys_of(self, subject_id: str) -> Sequence[Record]:
        """The keys of an account: hash in hex, role and dates."""
        return await self._postgres.rows("keys_of", subject_id)

    async def create_account(
        self, role: Role, name: str, *, prepaid: bool, now: datetime
    ) -> tuple[Account, str]:
        """A new seller or company, and its first API key in clear, shown this once."""
        account_id, key = str(uuid7()), make_key(role)
        async with self._postgres.connection() as connection, connection.transaction():
            if role == "company":
                await connection.execute(QUERIES["add_company"], account_id, name, prepaid, now)
            else:
                await connection.execute(QUERIES["add_seller"], account_id, name, now)
            await connection.execute(QUERIES["add_key"], hash_key(key), role, account_id, now)
        if role == "company":
            await self._announce_whole(CompanyId(account_id), now)
        account = await self.account(role, account_id)
        if account is None:
            raise RuntimeError("an account was created and then not found")
        return account, key

    async def accounts(self, role: Role, after: str, limit: int) -> Sequence[Account]:
        """Accounts of a role in the order of their ids, those after ``after``."""
        query = "companies" if role == "company" else "sellers"
        return [_account(role, row) for row in await self._postgres.rows(query, after, limit)]

    async def account(self, role: Role, account_id: str) -> Account | None:
        """One seller or company."""
        row = await self._postgres.row("company" if role == "company" else "seller", account_id)
        return None if row is None else _account(role, row)

    async def set_active(
        self, role: Role, account_id: str, active: bool, now: datetime
    ) -> Account | None:
        """Block or unblock a seller or company."""
        if role == "company":
            row = await self._postgres.row("set_company_active", account_id, active, now)
        else:
            row = await self._postgres.row("set_seller_active", account_id, active)
        if row is None:
            return None
        if role == "company":
            await self._announce_whole(CompanyId(account_id), now)
        return _account(role, row)

    async def deposit(
        self, company_id: CompanyId, cents: int, key: str, now: datetime
    ) -> Account | None:
        """Add to a balance, once per ``key``. Raises Conflict for a key used with other cents."""
        entry, account = f"deposit:{company_id}:{key}", f"company:{company_id}"
        async with self._postgres.connection() as connection, connection.transaction():
            if await connection.fetchrow(QUERIES["lock_company"], company_id) is None:
                return None
            added = await connection.fetchval(
                QUERIES["add_ledger_entry"], entry, account, cents, now
            )
            if added is None:
                before = await connection.fetchval(QUERIES["ledger_entry"], entry, account)
                if before != cents:
                    raise Conflict(
                        f"this key was used for a deposit of {format_cents(before)}",
                        field="amount",
                        code="idempotency_conflict",
                    )
            else:
                await connection.execute(QUERIES["add_ledger_entry"], entry, "cash", -cents, now)
                await connection.execute(QUERIES["add_balance"], company_id, cents)
        await self._announce_whole(company_id, now)
        return await self.account("company", company_id)

    async def save_campaign(
        self, campaign: Campaign, *, create: bool, now: datetime
    ) -> CampaignRecord | None:
        """Create or replace a campaign; None when replacing one that is not this company's."""
        async with self._postgres.connection() as connection, connection.transaction():
            if await connection.fetchrow(QUERIES["lock_company"], campaign.company_id) is None:
                raise Invalid("there is no such company", field="company_id")
            row = await connection.fetchrow(
                QUERIES["put_campaign" if create else "replace_campaign"],
                campaign.campaign_id,
                campaign.company_id,
                _encode(campaign).decode(),
                now,
            )
            if row is None:
                return None
            # Caps may have changed: what was used of them is counted anew from the deliveries.
            await connection.execute(QUERIES["forget_usage"], campaign.campaign_id)
            bounds = [
                period_bounds(cap.period, campaign.schedule.timezone, now) for cap in campaign.caps
            ]
            await connection.execute(
                QUERIES["keep_usage"],
                campaign.company_id,
                campaign.campaign_id,
                [cap.period for cap in campaign.caps],
                [start for start, _ in bounds],
                [end for _, end in bounds],
            )
            await connection.execute(QUERIES["add_balance"], campaign.company_id, 0)
        change = CampaignChange(
            campaign_id=campaign.campaign_id, version=row["version"], campaign=campaign
        )
        await self._announce(change)
        await self._announce_whole(campaign.company_id, now)
        return CampaignRecord(
            campaign=campaign,
            version=row["version"],
            created_at=row["created_at"],
            updated_at=row["updated_at"],
        )

    async def delete_campaign(
        self, campaign_id: CampaignId, company_id: CompanyId, now: datetime
    ) -> bool:
        """Delete a campaign of a company; False if there is none."""
        version = await self._postgres.value("delete_campaign", campaign_id, company_id, now)
        if version is None:
            return False
        await self._announce(
            CampaignChange(campaign_id=campaign_id, version=version, campaign=None)
        )
        return True

    async def campaign(self, campaign_id: CampaignId) -> CampaignRecord | None:
        """One campaign."""
        row = await self._postgres.row("campaign", campaign_id)
        return None if row is None else _campaign(row)

    async def campaigns(
        self, company_id: CompanyId | None, after: str, limit: int
    ) -> Sequence[CampaignRecord]:
        """Campaigns of a company (or all) in the order of their ids."""
        rows = await self._postgres.rows("campaigns", company_id, after, limit)
        return [_campaign(row) for row in rows]

    async def window(self, company_id: CompanyId, now: datetime) -> Window | None:
        """A company's window from the books."""
        whole = await self._whole(company_id, now)
        return None if whole is None else window_of(whole)

    async def ask_reset(self, company_id: CompanyId, now: datetime) -> Reset:
        """Ask for a CRM reset; an open request is answered again."""
        async with self._postgres.connection() as connection, connection.transaction():
            row = await connection.fetchrow(QUERIES["lock_company"], company_id)
            if row is None:
                raise NotFound("there is no such company", field="company_id")
            asked = await connection.fetchrow(QUERIES["open_reset"], company_id)
            if asked is not None:
                return _reset(asked)
            self._judge_reset(row, now)
            asked = await connection.fetchrow(QUERIES["add_reset"], str(uuid7()), company_id, now)
            return _reset(asked)

    async def approve_reset(self, reset_id: str, now: datetime) -> Reset | None:
        """Approve a reset (once; a repeat answers the same); None if there is none."""
        async with self._postgres.connection() as connection, connection.transaction():
            asked = await connection.fetchrow(QUERIES["reset"], reset_id)
            if asked is None or asked["status"] == "approved":
                return None if asked is None else _reset(asked)
            row = await connection.fetchrow(QUERIES["lock_company"], asked["company_id"])
            approved = await connection.fetchrow(QUERIES["approve_reset"], reset_id, now)
            if approved is None:
                return _reset(await connection.fetchrow(QUERIES["reset"], reset_id))
            self._judge_reset(row, now)
            await connection.execute(QUERIES["start_era"], asked["company_id"], now)
        await self._announce_whole(CompanyId(asked["company_id"]), now)
        return _reset(approved)

    def _judge_reset(self, row: Record, now: datetime) -> None:
        window = Window(
            company_id=row["id"], era_assigned=row["era_assigned"], reset_at=row["reset_at"]
        )
        refused = judge_reset(window, now, self._policy)
        if refused is Reason.RESET_TOO_EARLY:
            missing = missing_cents(window, self._policy)
            raise because(refused, details={"missing": msgspec.Raw(format_cents(missing).encode())})
        if refused is not None:
            raise because(refused, details={"last_reset_at": row["reset_at"]})

    async def resets(self, company_id: CompanyId | None, after: str, limit: int) -> Sequence[Reset]:
        """Resets, for one company or all, in the order of their ids."""
        rows = await self._postgres.rows("resets", company_id, after, limit)
        return [_reset(row) for row in rows]

    async def _whole(self, company_id: CompanyId, now: datetime) -> CompanyChange | None:
        first = window_start(self._today(now), self._policy)
        whole = await self._postgres.value("companies_whole_of", first, now, [company_id])
        return None if whole is None else decode_change(whole)

    async def _announce_whole(self, company_id: CompanyId, now: datetime) -> None:
        whole = await self._whole(company_id, now)
        if whole is not None:
            await self._announce(whole)


def _account(role: Role, row: Record) -> Account:
    is_company = role == "company"
    prepaid = is_company and row["prepaid"]
    return Account(
        id=row["id"],
        role=role,
        name=row["name"],
        active=row["active"],
        created_at=row["created_at"],
        prepaid=prepaid,
        balance_cents=row["balance"] if is_company else 0,
        available_cents=row["balance"] - row["held"] if prepaid else None,
    )


def _campaign(row: Record) -> CampaignRecord:
    return CampaignRecord(
        campaign=_decode_campaign(row["body"]),
        version=row["version"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _reset(row: Any) -> Reset:
    return Reset(
        reset_id=row["id"],
        company_id=row["company_id"],
        status=row["status"],
        asked_at=row["asked_at"],
        approved_at=row["approved_at"],
    )
