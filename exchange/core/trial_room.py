"""What is left of a contract's trial: room for so many leads, and for so many dollars.

A worker looks at it on ping as it looks at caps; the books have the last word at the post. Pure.
Source: rules §3.2 and §9.
"""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from exchange.core.contract import Trial
from exchange.core.model import CompanyId, SellerId
from exchange.core.reasons import Reason


class TrialUse(Struct, frozen=True, kw_only=True):
    """What a company buys of the leads offered in a trial, as one transaction left it.

    ``version`` grows with every change of a contract's trials. A trial is told from others of its
    contract by its time.
    """

    contract_id: str
    seller_id: SellerId
    company_id: CompanyId
    version: int
    starts_at: datetime
    ends_at: datetime
    leads: int
    spend_cents: int


class TrialRoom(Struct, frozen=True):
    """What is left of a trial; None where it sets no bound. It may be below 0."""

    leads: int | None
    spend_cents: int | None


def room_of(trial: Trial, use: TrialUse | None) -> TrialRoom:
    """What is left of a trial; without a use nothing was bought in it."""
    leads, spend_cents = (0, 0) if use is None else (use.leads, use.spend_cents)
    return TrialRoom(
        None if trial.leads is None else trial.leads - leads,
        None if trial.spend_cents is None else trial.spend_cents - spend_cents,
    )


def why_full(room: TrialRoom | None, price_cents: int) -> Reason | None:
    """Whether a trial has room for one more lead at a price in cents; no room bounds nothing."""
    if room is None:
        return None
    no_leads = room.leads is not None and room.leads < 1
    no_spend = room.spend_cents is not None and room.spend_cents < max(price_cents, 1)
    return Reason.TRIAL_FULL if no_leads or no_spend else None
