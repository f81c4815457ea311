"""A receipt with every campaign: what it does not name is recomputed from what is kept of then.

A receipt over many campaigns names those in line and counts the rest. The market of its moment is
put together again (`flow.reviving`), every campaign judged by the functions that judged it then,
and the result held against the receipt. One question at a time, in small parts, up to a deadline:
it must not be felt by those who sell. Source: rules §3, §7 and §12.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Final, Literal

import msgspec
from msgspec import Struct

from exchange.core.auction import no_bid
from exchange.core.market import Market
from exchange.core.model import CompanyId, Ping, PingId
from exchange.core.moment import EARLY, Judged, Scan, State, Told, ways_told
from exchange.core.reasons import Reason
from exchange.core.retell import Retold, retell
from exchange.core.runner import Runner
from exchange.core.verticals import Vertical
from exchange.flow.faults import Unavailable
from exchange.flow.late_receipts import LateReceipts
from exchange.flow.moments import Moments
from exchange.flow.ping import tell_line
from exchange.flow.ports import KeptFacts, Receipt
from exchange.flow.reviving import ON_ITS_WAY, SOON, Reviving, pages
from exchange.flow.standing_books import FactorBooks

DEADLINE_S: Final = 20.0
"""Longest an answer may take."""

Source = Literal["receipt", "recomputed", "vertical_changed"]
"""Where the campaigns are from: the receipt names each; or they were recomputed; or only those the
receipt names are told, as its lead cannot be read by the vertical of now."""


class RetoldReceipt(Struct, frozen=True, kw_only=True):
    """A receipt with what became of every campaign."""

    receipt: Receipt
    source: Source
    retold: Retold

    @property
    def exact(self) -> bool:
        """Whether each campaign's outcome is known for certain."""
        return self.source != "vertical_changed" and self.retold.exact


class Retelling:
    """Tells receipts whole, one at a time."""

    def __init__(
        self,
        *,
        market: Market,
        receipts: LateReceipts,
        moments: Moments,
        factors: FactorBooks,
        today: Callable[[datetime], date],
        draw_key: bytes,
    ) -> None:
        self._market = market
        self._receipts = receipts
        self._today = today
        self._draw_key = draw_key
        self._reviving = Reviving(market, moments, factors, today)
        self._busy = False

    async def tell(self, ping_id: PingId) -> RetoldReceipt | None:
        """A receipt with every campaign; None for no such receipt.

        Raises Unavailable while another is being told, or where it takes too long.
        """
        receipt = await self._receipts.get(ping_id)
        if receipt is None:
            return None
        told = tell_line(receipt, self._draw_key)
        if _names_all(told):
            return RetoldReceipt(
                receipt=told, source="receipt", retold=Retold(candidates=told.candidates)
            )
        if self._busy:
            raise Unavailable("Another receipt is being recomputed; try again.", retry_after_s=5)
        self._busy = True
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await self._recompute(receipt, told)
        except TimeoutError:
            raise Unavailable(
                f"Recomputing this receipt takes more than {DEADLINE_S:.0f} s; try again.",
                retry_after_s=30,
            ) from None
        finally:
            self._busy = False

    async def _recompute(self, receipt: Receipt, told: Receipt) -> RetoldReceipt:
        vertical = self._market.verticals.get(receipt.vertical)
        retold = None if vertical is None else await self._retell(receipt, vertical)
        if retold is None:
            named = Retold(candidates=told.candidates)
            return RetoldReceipt(receipt=told, source="vertical_changed", retold=named)
        return RetoldReceipt(receipt=told, source="recomputed", retold=retold)

    async def _retell(self, receipt: Receipt, vertical: Vertical) -> Retold | None:
        """Judge every campaign again; None where the lead is none of the vertical any more."""
        try:
            attributes = msgspec.json.decode(receipt.attributes, type=vertical.attributes_type)
        except msgspec.ValidationError:
            return None
        reviving, told = self._reviving, _told(receipt)
        policy = await reviving.policy(receipt.decided_at)
        cast = await reviving.cast(receipt, vertical)
        ping = _ping(receipt, attributes, cast.runners)
        market = Market((vertical,), policy, self._today(receipt.decided_at))
        scan = Scan(market, ping, receipt.decided_at, self._draw_key, told)
        companies = {runner.campaign.company_id for runner in cast.runners}
        heads = await reviving.heads(companies, receipt.decided_at)
        settled: list[Judged] = []
        left: list[Runner] = []
        weighed: set[CompanyId] = set()
        async for page in pages(cast.runners):
            for runner in page:
                company_id = runner.campaign.company_id
                reason = scan.look(runner, heads.company(company_id))
                if reason in EARLY and not heads.is_moving(company_id):
                    settled.append(Judged(runner=runner, fallen=no_bid(runner, reason)))
                    continue
                left.append(runner)
                if reason is Reason.CRM_GATE:
                    weighed.add(company_id)
        retold: Retold | None = None
        for within in (SOON, ON_ITS_WAY):
            # Most changes are heard of at once; where that does not agree, some were missed.
            states = await reviving.states(receipt, policy, heads, left, weighed, within)
            judged, unsettled = await _judge(scan, told, left, states)
            retold = retell(
                told,
                [*settled, *judged],
                unsettled,
                cast.unknown,
                receipt.max_buyers,
                policy.max_ranks,
            )
            if not retold.differences:
                break
        return retold


async def _judge(
    scan: Scan, told: Told, runners: Sequence[Runner], states: Mapping[CompanyId, Sequence[State]]
) -> tuple[list[Judged], dict[CompanyId, list[list[Judged]]]]:
    """Judge campaigns: those of companies that stood in one way, and the others once for each."""
    settled: list[Judged] = []
    unsettled: dict[CompanyId, list[list[Judged]]] = {}
    ways = {one: ways_told(all_, told, one) for one, all_ in states.items()}
    async for page in pages(runners):
        for runner in page:
            company_id = runner.campaign.company_id
            judged = [scan.judge(runner, state) for state in ways[company_id]]
            if len(judged) == 1:
                settled += judged
                continue
            held = unsettled.setdefault(company_id, [[] for _ in judged])
            for way, one in zip(held, judged, strict=True):
                way.append(one)
    return settled, unsettled


def _names_all(receipt: Receipt) -> bool:
    """Whether a receipt names every campaign it counts; a refused ping has had no auction."""
    named = sum(1 for candidate in receipt.candidates if candidate.reason is not None)
    return receipt.status == "refused" or sum(receipt.reasons.values()) <= named


def _told(receipt: Receipt) -> Told:
    return Told(
        reasons=receipt.reasons,
        named=receipt.candidates,
        offer=receipt.offer,
        premium=receipt.premium,
    )


def _ping(receipt: Receipt, attributes: Struct, runners: Sequence[Runner]) -> Ping:
    """The ping of a receipt. What no campaign fell for, and was not kept, kept none away."""
    offer, facts = receipt.offer, receipt.facts or KeptFacts()
    if offer is not None:
        captured_at, consent = offer.captured_at, offer.consent
    else:
        captured_at = facts.captured_at or receipt.decided_at
        proofs = facts.proofs
        if proofs is None:
            demands = [one.campaign.requires for one in runners]
            proofs = tuple(name for one in demands if one is not None for name in one.consent)
        consent = dict.fromkeys(proofs, "given")
    return Ping(
        ping_id=receipt.ping_id,
        seller_id=receipt.seller_id,
        vertical=receipt.vertical,
        attributes=attributes,
        sold_to=frozenset(facts.sold_to),
        suppressed_by=frozenset(facts.suppressed_by),
        captured_at=captured_at,
        received_at=receipt.decided_at,
        consent=consent,
        max_buyers=receipt.max_buyers,
        min_price_cents=receipt.min_price_cents,
        test=receipt.test,
        quality_score=receipt.quality_score,
        flaws=receipt.flaws,
    )
