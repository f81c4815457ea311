"""`exchange check`: the books against themselves, and the fast copy against the books, to the cent.

Every finding is a sentence; no findings is a clean bill. Reads only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import date, datetime
from typing import Final

import msgspec
from msgspec import Struct

from exchange.core.model import CompanyId
from exchange.core.money import format_cents
from exchange.flow.market_ports import Snapshots
from exchange.stores.postgres import Postgres, Record
from exchange.stores.redis_mirror import RedisMirror, figures_of

SETTLE_TRIES: Final = 10
"""Looks at a company that differs before it is reported: a market moves between reads, and what a
worker could not write is written again within a second or two."""

SETTLE_PAUSE_S: Final = 0.3


class Checked(Struct, frozen=True, kw_only=True):
    """What was looked at, and every fault that was found."""

    leads: int
    open_leads: int
    sales: int
    rejections: int
    companies: int
    ledger_entries: int
    ledger_cents: int
    findings: tuple[str, ...]


async def check(
    postgres: Postgres, snapshots: Snapshots, mirror: RedisMirror, *, now: datetime, first_day: date
) -> Checked:
    """Check ledger, balances, windows, usage and lives in the books, then the mirror."""
    findings: list[str] = []
    ledger = await postgres.row("check_ledger_sum")
    counts = await postgres.row("check_counts")
    if ledger is None or counts is None:
        raise RuntimeError("a count gave no row")
    if ledger["cents"]:
        findings.append(f"the ledger sums to {format_cents(ledger['cents'])}, not to 0.00")
    for query, tell in _BOOK_CHECKS.items():
        findings.extend(tell(row) for row in await postgres.rows(query))
    findings.extend(await _check_mirror(snapshots, mirror, now, first_day))
    return Checked(
        leads=counts["leads"],
        open_leads=counts["open_leads"],
        sales=counts["sales"],
        rejections=counts["rejections"],
        companies=counts["companies"],
        ledger_entries=ledger["entries"],
        ledger_cents=ledger["cents"],
        findings=tuple(findings),
    )


def _tell_bucket(row: Record) -> str:
    parts = [
        f"{name} {format_cents(row[name])} should be {format_cents(row[f'expected_{name}'])}"
        for name in ("assigned", "manual", "crm")
        if row[name] != row[f"expected_{name}"]
    ]
    return f"company {row['company_id']} on {row['day']}: {', '.join(parts)}"


def _with(there: bool) -> str:
    return "with" if there else "without"


_BOOK_CHECKS: Final[dict[str, Callable[[Record], str]]] = {
    "check_ledger_keys": lambda r: f"ledger key {r['key']} sums to {format_cents(r['cents'])}",
    "check_balances": lambda r: (
        f"company {r['id']}: balance {format_cents(r['balance'])}, "
        f"ledger {format_cents(r['ledger'])}"
    ),
    "check_held": lambda r: (
        f"company {r['id']}: held {format_cents(r['held'])}, open deliveries "
        f"{format_cents(r['open'])}"
    ),
    "check_buckets": _tell_bucket,
    "check_era_assigned": lambda r: (
        f"company {r['id']}: assigned since reset {format_cents(r['era_assigned'])}, "
        f"windows say {format_cents(r['assigned'])}"
    ),
    "check_usage": lambda r: (
        f"campaign {r['campaign_id']}, {r['period']} from {r['starts_at']}: {r['leads']} leads and "
        f"{format_cents(r['spend'])} used, deliveries say {r['expected_leads']} and "
        f"{format_cents(r['expected_spend'])}"
    ),
    "check_legs": lambda r: f"lead {r['lead_id']} leg {r['leg']}: state {r['state']} cannot be",
    "check_double_sales": lambda r: (
        f"lead {r['lead_id']} leg {r['leg']} was sold {r['sales']} times"
    ),
    "check_lead_states": lambda r: (
        f"lead {r['id']}: state {r['state']}, its legs make {r['expected']}"
    ),
    "check_deliveries": lambda r: (
        f"delivery {r['id']}: {r['state']}, {_with(r['sold'])} a sale and "
        f"{_with(r['rejected'])} a CRM rejection"
    ),
    "check_sales": lambda r: (
        f"sale {r['delivery_id']}: {r['state']}, {_with(r['status'] is not None)} a rejection"
        f"{(r['status'] and ' that is ' + r['status']) or ''}"
    ),
    "check_disputes": lambda r: (
        f"dispute {r['id']}: {r['status']}, its rejection {r['rejection_status']}"
    ),
    "check_sale_entries": lambda r: (
        f"ledger key {r['key']}: company {format_cents(r['company_entry'])} and seller "
        f"{format_cents(r['seller_entry'])} should be {format_cents(r['company'])} and "
        f"{format_cents(r['seller'])}"
    ),
}


async def _check_mirror(
    snapshots: Snapshots, mirror: RedisMirror, now: datetime, first_day: date
) -> list[str]:
    """Compare every company's figures; those that differ are looked at again, as markets move."""
    # Looked for first, as a company is in the books before it is in the fast store.
    mirrored = await mirror.companies()
    suspects = None
    findings: list[str] = []
    unknown: list[str] = []
    for _ in range(SETTLE_TRIES):
        wholes = await snapshots.companies(first_day, now, suspects)
        if suspects is None:
            strangers = mirrored - {whole.company_id for whole in wholes}
            unknown = [
                f"company {stranger} in the fast store is not in the books"
                for stranger in sorted(strangers)
            ]
        findings, suspects = [], []
        for whole in wholes:
            expected = figures_of(whole, msgspec.json.encode)
            held = await mirror.read(whole.company_id)
            if (said := difference(whole.company_id, held, expected, first_day, now)) is not None:
                suspects.append(whole.company_id)
                findings.append(said)
        if not suspects:
            break
        await asyncio.sleep(SETTLE_PAUSE_S)
    return unknown + findings


def difference(
    company_id: CompanyId,
    held: dict[str, str],
    expected: dict[str, str],
    first_day: date,
    now: datetime,
) -> str | None:
    """Say in what the mirror's figures of a company differ from the books'; None if in nothing."""
    held = {
        field: figures
        for field, figures in held.items()
        if field in expected or not _is_past(field, first_day, now)
    }
    return None if held == expected else _tell_difference(company_id, held, expected)


def _is_past(field: str, first_day: date, now: datetime) -> bool:
    """Whether a mirrored field lies outside the window or its period: kept longer, and harmless."""
    parts = field.split("|")
    if len(parts) == 2:
        return date.fromisoformat(parts[0]) < first_day
    return len(parts) == 3 and datetime.fromisoformat(parts[2]) < now


def _tell_difference(company_id: str, held: dict[str, str], expected: dict[str, str]) -> str:
    fields = sorted({f for f in {*held, *expected} if held.get(f) != expected.get(f)})
    shown = "; ".join(
        f"{field}: {held.get(field, 'nothing')} should be {expected.get(field, 'nothing')}"
        for field in fields[:3]
    )
    return f"company {company_id} in the fast store: {shown}"
