"""Handing a lead to one company: its deliveries in order, each with retries, within a deadline.

Source: rules §8: retries first, then backups; an unclear outcome is tried again at the same
company under the same delivery id. Must not know ranks, prices or the books.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from exchange.core.model import Campaign
from exchange.core.reasons import Reason
from exchange.flow.ports import Answer, Attempt, Courier, Parcel

Incident = Callable[[Parcel, str, Answer], None]
"""Told of every failed try: the parcel, the target's kind, and what came."""

SAVED: Final = "backup after "
"""How the detail of a delivery begins that a backup took: then the reason's code, and what came."""


async def deliver(
    courier: Courier,
    campaign: Campaign,
    parcel: Parcel,
    *,
    deadline: float,
    backoff_s: float,
    jitter: Callable[[], float],
    incident: Incident,
    may_have_arrived: bool = False,
) -> Attempt:
    """Try a campaign's deliveries until one answers clearly or all are used up.

    ``deadline`` is on the running loop's clock; ``jitter`` draws from 0 to 1. A refusal ends it at
    once. The outcome is unclear if any try was, and none after it answered; so it is if the lead
    ``may_have_arrived`` before, by a try whose answer nobody noted. Where no time is left for a
    single try, the outcome is a refusal with the processing limit as its reason.
    """
    loop = asyncio.get_running_loop()
    tries, unclear = 0, may_have_arrived
    last = missed = Answer(result="failed")
    at, kind = 0, campaign.delivery[0].kind
    for at, target in enumerate(campaign.delivery):
        for attempt in range(target.attempts):
            left_s = deadline - loop.time()
            if left_s <= 0:
                break
            tries += 1
            kind = target.kind
            last = await courier.hand_over(target, parcel, min(left_s, target.timeout_ms / 1000))
            if last.result in ("accepted", "refused"):
                if at and last.result == "accepted":
                    last = replace(last, detail=_saved(missed))
                return _attempt(last, at, kind, tries)
            missed = last
            unclear = unclear or last.result == "unclear"
            incident(parcel, kind, last)
            if attempt + 1 < target.attempts:
                pause_s = backoff_s * 2**attempt * jitter()
                await asyncio.sleep(max(0.0, min(pause_s, deadline - loop.time())))
    if not tries and not unclear:
        # The exchange's own limit: nothing was attempted, so nothing is assigned (rules §4).
        return Attempt(result="refused", kind=kind, reason=Reason.PROCESSING_LIMIT, attempts=0)
    if unclear:
        last = Answer(result="unclear", reason=Reason.CRM_TIMEOUT, detail=last.detail)
    return _attempt(last, at, kind, tries)


def _saved(missed: Answer) -> str:
    """What is noted of a sale that a backup saved: an incident, to be alerted (rules §8)."""
    reason = missed.reason or Reason.CRM_TIMEOUT
    return f"{SAVED}{reason.code}: {missed.detail or reason.message}"[:200]


def is_certain(campaign: Campaign) -> bool:
    """Whether a campaign takes whatever it is handed, at once, with nobody to be asked."""
    return campaign.delivery[0].kind == "inbox"


def _attempt(answer: Answer, target: int, kind: str, tries: int) -> Attempt:
    return Attempt(
        result=answer.result,
        target=target,
        kind=kind,
        reason=answer.reason,
        reference=answer.reference,
        redirect_url=answer.redirect_url,
        detail=answer.detail,
        attempts=tries,
    )
