"""One auction held again as if a company had stood otherwise: would it have won, and at what price.

Over a receipt's candidates and by the auction's own rules (`auction.hold`, `quote.reckon`). What a
receipt does not tell is not guessed: the auction is not known then, and why is told. Caps, budgets
and balances are as they were at the ping. Source: rules §6, §7 and §12.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from exchange.core.auction import Award, BidEntry, Candidate, hold
from exchange.core.model import CampaignId, CompanyId, Policy
from exchange.core.money import BASIS_POINTS
from exchange.core.quote import reckon
from exchange.core.reasons import Reason
from exchange.core.standing import Standing, Verdict, gate_threshold

NotKnown = Literal["not_named", "price_not_kept", "shares_not_kept", "does_not_follow"]
"""Why an auction cannot be held again: over many campaigns the receipt does not name the company;
the company's price of then is not kept; it leaves out what was bid at other share counts; or its
outcome does not follow from what it tells."""

Bases = Mapping[CampaignId, Mapping[int, int]]
"""Base prices in cents by share count, of the campaigns of which they are known for a lead."""


class Held(Struct, frozen=True, kw_only=True):
    """An auction as its receipt tells it. ``reasons`` counts campaigns, named or not.

    ``draw`` gives a campaign's draw at this ping.
    """

    candidates: Sequence[Candidate]
    reasons: Mapping[str, int]
    max_buyers: int
    min_price_cents: int
    floor_cents: int
    premium: bool
    draw: Callable[[CampaignId], int]


class Outcome(Struct, frozen=True, kw_only=True):
    """What became of a company: its best bid's rank (None: not in line), and what it won for."""

    won: bool = False
    rank: int | None = None
    share: int | None = None
    campaign_id: CampaignId | None = None
    base_cents: int | None = None
    charged_cents: int | None = None


class Replayed(Struct, frozen=True, kw_only=True):
    """A company's outcome as it was and as it would have been."""

    before: Outcome
    after: Outcome


def assume(
    standing: Standing, policy: Policy, *, overall_bp: int | None, crm_bp: int | None
) -> Standing:
    """A standing with other rates, in basis points; None leaves a rate, and its verdict, as it is.

    The overall rate is taken as it is given: no trend is let off it.
    """
    if overall_bp is not None:
        standing = replace(
            standing,
            assigned=BASIS_POINTS,
            rejected=overall_bp,
            overall_assigned=BASIS_POINTS,
            overall_rejected=overall_bp,
            overall_rate=Fraction(overall_bp, BASIS_POINTS),
            eased_bp=0,
        )
    if crm_bp is not None:
        standing = replace(standing, crm_assigned=BASIS_POINTS, crm_rejected=crm_bp)
    part, whole = gate_threshold(standing.day, policy)
    overall = standing.overall_rejected * BASIS_POINTS
    if standing.crm_rejected * whole > part * standing.crm_assigned:
        verdict = Verdict.EXCLUDED
    elif (
        standing.overall_assigned
        and overall >= policy.conditional_overall_bp * standing.overall_assigned
    ):
        verdict = Verdict.CONDITIONAL
    else:
        verdict = Verdict.QUALIFIED
    return replace(standing, verdict=verdict)


def unnamed(held: Held) -> int:
    """How many campaigns a receipt counts without naming them; 0 where few are in the vertical."""
    named = sum(1 for candidate in held.candidates if candidate.reason is not None)
    return max(0, sum(held.reasons.values()) - named)


def replay(
    held: Held,
    company_id: CompanyId,
    assumed: Standing,
    bases: Bases,
    policy: Policy,
    *,
    all_known: bool = False,
) -> Replayed | NotKnown | None:
    """Hold an auction again with a company standing otherwise; None where it took no part.

    ``bases`` are its campaigns' base prices for this lead, where they are known to be those of
    then; they are needed where the gate was closed, and for more buyers than one. ``all_known``:
    no other campaign of its could have bid.
    """
    own = [c for c in held.candidates if c.company_id == company_id]
    abridged = unnamed(held) > 0
    if not own and not abridged:
        return None
    if abridged and all(candidate.rank is None for candidate in own):
        # It may have stood behind those in line, where none is named, or not at all.
        if all_known and _surely_loses(held, assumed, bases, policy):
            return Replayed(before=Outcome(), after=Outcome())
        return "not_named"
    if abridged and held.max_buyers > 1:
        return "shares_not_kept"
    told = [_entry(candidate) for candidate in held.candidates if _stood(candidate)]
    if not _follows(held, told):
        return "does_not_follow"
    fresh: list[BidEntry] = []
    for candidates in _by_campaign(own).values():
        again = _bid_again(held, candidates, assumed, bases, policy)
        if isinstance(again, str):
            return again
        fresh.extend(again)
    others = [bid for bid in told if bid.company_id != company_id]
    return Replayed(
        before=_outcome_told(own),
        after=_outcome(hold([*others, *fresh], held.max_buyers), company_id),
    )


def _surely_loses(held: Held, assumed: Standing, bases: Bases, policy: Policy) -> bool:
    """Whether no price of a company's could win a lead for one buyer, whoever else there was."""
    winner = next((c for c in held.candidates if c.outcome == "won"), None)
    if held.max_buyers > 1:
        return False
    if assumed.verdict is Verdict.EXCLUDED:
        return True
    early = held.premium and assumed.verdict is Verdict.QUALIFIED
    if winner is not None and winner.first_look and not early:
        return True
    for base in (base for prices in bases.values() for base in prices.values()):
        price = reckon(base, assumed, policy)
        stands = (
            price.rectified_cents >= max(held.floor_cents, 1)
            and price.seller_cents >= held.min_price_cents
        )
        is_later_round = winner is not None and early and not winner.first_look
        reaches = winner is None or price.rectified_cents >= (winner.rectified_cents or 0)
        if stands and (reaches or is_later_round):
            return False
    return True


def _bid_again(
    held: Held, told: Sequence[Candidate], assumed: Standing, bases: Bases, policy: Policy
) -> list[BidEntry] | NotKnown:
    """A campaign's bids under the assumed standing."""
    first = told[0]
    gated = first.outcome == "no_bid"
    if assumed.verdict is Verdict.EXCLUDED or (gated and first.reason is not Reason.CRM_GATE):
        return []
    known = {c.share: c.base_cents for c in told if c.share and c.base_cents is not None}
    if gated or held.max_buyers > 1:
        # A price that did not stand at some share count is not on the receipt.
        kept = bases.get(first.campaign_id)
        if kept is None or any(kept.get(share) != base for share, base in known.items()):
            return "price_not_kept"
        known = {share: base for share, base in kept.items() if share <= held.max_buyers}
    found = []
    for share, base in known.items():
        assert base is not None
        price = reckon(base, assumed, policy)
        if price.rectified_cents < max(held.floor_cents, 1):
            continue
        if price.seller_cents < held.min_price_cents:
            continue
        found.append(
            BidEntry(
                campaign_id=first.campaign_id,
                company_id=first.company_id,
                share=share,
                base_cents=base,
                rectified_cents=price.rectified_cents,
                charged_cents=price.charged_cents,
                rejected=assumed.rejected,
                assigned=assumed.assigned,
                overall_rate=assumed.overall_rate,
                draw=held.draw(first.campaign_id),
                first_look=held.premium and assumed.verdict is Verdict.QUALIFIED,
            )
        )
    return found


def _stood(candidate: Candidate) -> bool:
    return candidate.outcome != "no_bid" and candidate.reason not in (
        Reason.BELOW_FLOOR,
        Reason.BELOW_MIN_PRICE,
    )


def _entry(candidate: Candidate) -> BidEntry:
    return BidEntry(
        campaign_id=candidate.campaign_id,
        company_id=candidate.company_id,
        share=candidate.share or 1,
        base_cents=candidate.base_cents or 0,
        rectified_cents=candidate.rectified_cents or 0,
        charged_cents=candidate.charged_cents or 0,
        rejected=candidate.rejected,
        assigned=candidate.assigned,
        overall_rate=(
            Fraction(candidate.rejected, candidate.assigned) if candidate.assigned else Fraction(0)
        ),
        draw=candidate.draw or 0,
        first_look=candidate.first_look,
    )


def _follows(held: Held, told: Sequence[BidEntry]) -> bool:
    """Whether the winners told are those the rules give for what is told."""
    award = hold(told, held.max_buyers)
    expected = [(bid.campaign_id, bid.charged_cents) for bid in award.ranks[: award.winners]]
    won = sorted((c for c in held.candidates if c.outcome == "won"), key=lambda c: c.rank or 0)
    return expected == [(c.campaign_id, c.charged_cents) for c in won]


def _by_campaign(own: Sequence[Candidate]) -> dict[CampaignId, list[Candidate]]:
    found: dict[CampaignId, list[Candidate]] = {}
    for candidate in own:
        found.setdefault(candidate.campaign_id, []).append(candidate)
    return found


def _outcome_told(own: Sequence[Candidate]) -> Outcome:
    line = [candidate for candidate in own if candidate.rank is not None]
    if not line:
        return Outcome()
    best = min(line, key=lambda candidate: candidate.rank or 0)
    won = best.outcome == "won"
    return Outcome(
        won=won,
        rank=best.rank,
        share=best.share,
        campaign_id=best.campaign_id,
        base_cents=best.base_cents,
        charged_cents=best.charged_cents if won else None,
    )


def _outcome(award: Award, company_id: CompanyId) -> Outcome:
    for place, bid in enumerate(award.ranks, start=1):
        if bid.company_id == company_id:
            won = place <= award.winners
            return Outcome(
                won=won,
                rank=place,
                share=award.share,
                campaign_id=bid.campaign_id,
                base_cents=bid.base_cents,
                charged_cents=bid.charged_cents if won else None,
            )
    return Outcome()
