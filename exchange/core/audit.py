"""Checking an auction from its receipt alone, and telling it in sentences.

The rules of the auction are written a second time here, on purpose: what checks a result must not
be what produced it. Knows nothing but the receipt's candidates. Source: rules §6 and §7.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Final

from msgspec import Struct

from exchange.core.auction import Candidate
from exchange.core.model import CampaignId, CompanyId
from exchange.core.money import divide_half_even, format_cents, part_of, percent_hundredths
from exchange.core.reasons import Reason

_DID_NOT_STAND: Final = frozenset({Reason.BELOW_FLOOR, Reason.BELOW_MIN_PRICE})

_ORDINALS: Final = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")


class Limits(Struct, frozen=True, kw_only=True):
    """What a price had to reach in an auction: the vertical's floor, and the ping's minimum."""

    floor_cents: int
    min_price_cents: int
    take_rate_bp: int


class AuditError(ValueError):
    """A receipt that does not follow from the rules; names the candidate that disagrees."""

    def __init__(self, candidate: Candidate, message: str) -> None:
        super().__init__(f"campaign {candidate.campaign_id}: {message}")
        self.campaign_id = candidate.campaign_id
        self.share = candidate.share
        self.message = message


def recompute(
    candidates: Sequence[Candidate], *, max_buyers: int, limits: Limits | None = None
) -> tuple[CampaignId, ...]:
    """Compute the winners, in rank order, from a receipt's candidates.

    Raises AuditError where a price, a rank, an outcome or a reason is not what follows. Without
    ``limits`` it is taken from the receipt which bids were below the floor or the minimum.
    """
    for candidate in candidates:
        _check_price(candidate, max_buyers)
        if limits is not None and candidate.outcome != "no_bid":
            _check_limits(candidate, limits)
    _check_policy(candidates)
    standing = [c for c in candidates if c.outcome != "no_bid" and c.reason not in _DID_NOT_STAND]
    line, winners = _award(standing, max_buyers)
    places = {id(candidate): place for place, candidate in enumerate(line, start=1)}
    for candidate in candidates:
        place = places.get(id(candidate))
        if candidate.rank != place:
            raise AuditError(candidate, f"is at rank {candidate.rank}, and belongs at {place}")
        won = place is not None and place <= winners
        if won != (candidate.outcome == "won"):
            raise AuditError(candidate, "should have won" if won else "should not have won")
        if won != (candidate.reason is None):
            raise AuditError(candidate, "must have a reason exactly if it did not win")
    for candidate in standing:
        _check_reason(candidate, places.get(id(candidate)), line[0])
    return tuple(candidate.campaign_id for candidate in line[:winners])


def _check_price(candidate: Candidate, max_buyers: int) -> None:
    base, rectified = candidate.base_cents, candidate.rectified_cents
    if candidate.outcome == "no_bid":
        if (base, rectified, candidate.charged_cents, candidate.rank) != (None,) * 4:
            raise AuditError(candidate, "did not bid, and yet has a price or a rank")
        return
    if base is None or rectified is None or candidate.charged_cents is None:
        raise AuditError(candidate, "bid, and yet lacks a price")
    if candidate.share is None or candidate.draw is None:
        raise AuditError(candidate, "bid, and yet lacks its share count or its draw")
    if not 1 <= candidate.share <= max_buyers:
        raise AuditError(candidate, f"bid to share with {candidate.share}, out of {max_buyers}")
    if not 0 <= candidate.rejected <= candidate.assigned:
        raise AuditError(candidate, "had more rejected than assigned")
    _check_terms(candidate, base)
    expected = base
    if candidate.assigned:
        kept = candidate.assigned - candidate.rejected
        expected = divide_half_even(base * kept, candidate.assigned)
    if rectified != expected:
        raise AuditError(
            candidate,
            f"was rectified to {format_cents(rectified)}, and its base and rate give "
            f"{format_cents(expected)}",
        )


def _check_terms(candidate: Candidate, base: int) -> None:
    """A contract takes the list price through its tier, then its discount, each rounded."""
    terms = candidate.terms
    if terms is None:
        return
    tiered = divide_half_even((terms.listed_cents + terms.add_cents) * terms.multiply_bp, 10_000)
    left_bp = 10_000 - terms.discount_bp
    expected = divide_half_even(max(tiered, 0) * left_bp, 10_000)
    if base != expected:
        raise AuditError(
            candidate,
            f"has a base of {format_cents(base)}, and its list price and contract give "
            f"{format_cents(expected)}",
        )


def _check_limits(candidate: Candidate, limits: Limits) -> None:
    rectified, charged = candidate.rectified_cents or 0, candidate.charged_cents or 0
    seller_cents = charged - part_of(charged, limits.take_rate_bp)
    expected = None
    if rectified < limits.floor_cents or not rectified:
        expected = Reason.BELOW_FLOOR
    elif seller_cents < limits.min_price_cents:
        expected = Reason.BELOW_MIN_PRICE
    told = candidate.reason if candidate.reason in _DID_NOT_STAND else None
    if told is not expected:
        found = "reaches floor and minimum" if expected is None else f"is {expected.code}"
        raise AuditError(candidate, f"its price {found}, and the receipt says otherwise")


def _check_reason(candidate: Candidate, place: int | None, winner: Candidate) -> None:
    """The reason of a bid that stood follows from its share count, its round and its place."""
    expected = Reason.OUTBID
    if candidate.outcome == "won":
        return
    if candidate.share != winner.share:
        expected = Reason.SHARE_COUNT
    elif winner.first_look and not candidate.first_look:
        expected = Reason.FIRST_LOOK
    elif place is None:
        expected = Reason.SAME_COMPANY
    if candidate.reason is not expected:
        raise AuditError(candidate, f"lost by {expected.code}, and the receipt says otherwise")


def _check_policy(candidates: Sequence[Candidate]) -> None:
    """One policy holds for all: everybody is charged the rectified price, or everybody the base."""
    bids = [c for c in candidates if c.outcome != "no_bid"]
    at_rectified = [c.charged_cents == c.rectified_cents for c in bids]
    at_base = [c.charged_cents == c.base_cents for c in bids]
    if not all(at_rectified) and not all(at_base):
        odd = at_rectified.index(False) if at_rectified.count(False) == 1 else at_base.index(False)
        raise AuditError(bids[odd], "is charged neither as its bid says nor as the others are")


def _award(bids: Sequence[Candidate], max_buyers: int) -> tuple[list[Candidate], int]:
    """Everybody in line for the share count that won, and how many of them won."""
    early = [bid for bid in bids if bid.first_look]
    late = [bid for bid in bids if not bid.first_look]
    if not early:
        early, late = late, []
    best_total, best_share, line = 0, 0, list[Candidate]()
    for share in range(max_buyers, 0, -1):
        ranked = _line(bid for bid in early if bid.share == share)
        total = sum(bid.rectified_cents or 0 for bid in ranked[:share])
        if ranked and total >= best_total:
            best_total, best_share, line = total, share, ranked
    present = {bid.company_id for bid in line}
    behind = (b for b in late if b.share == best_share and b.company_id not in present)
    return line + _line(behind), min(best_share, len(line))


def _line(bids: Iterable[Candidate]) -> list[Candidate]:
    """Bids in order, of each company its best only."""
    line: dict[CompanyId, Candidate] = {}
    for bid in sorted(bids, key=_order):
        line.setdefault(bid.company_id, bid)
    return list(line.values())


def _order(bid: Candidate) -> tuple[int, Fraction, int, CampaignId]:
    return -(bid.rectified_cents or 0), _rate(bid), bid.draw or 0, bid.campaign_id


def _rate(bid: Candidate) -> Fraction:
    return Fraction(bid.rejected, bid.assigned) if bid.assigned else Fraction(0)


def explain(candidate: Candidate, names: Mapping[CompanyId, str]) -> str:
    """Tell in a sentence what became of one campaign; a company without a name goes by its id."""
    name = names.get(candidate.company_id, candidate.company_id)
    reason = candidate.reason
    if candidate.outcome == "no_bid" or candidate.base_cents is None:
        return f"{name} did not bid: {_as_clause(reason)}"
    told = f"{name} bid {_dollars(candidate.base_cents)}{_by_contract(candidate)}"
    if candidate.share is not None and candidate.share > 1:
        told += f" to share the lead with {candidate.share - 1} more"
    if candidate.rejected:
        told += (
            f"; {_percent(candidate)} of what it bought was rejected, so its bid was worth "
            f"{_dollars(candidate.rectified_cents or 0)}"
        )
    if candidate.outcome == "won":
        pays = _dollars(candidate.charged_cents or 0)
        return f"{told}: {_ordinal(candidate.rank)}, and buys the lead for {pays}."
    if candidate.rank is None:
        return f"{told}: lost, as {_as_clause(reason)}"
    if reason in (None, Reason.OUTBID):
        return f"{told}: {_ordinal(candidate.rank)}."
    return f"{told}: {_ordinal(candidate.rank)}, as {_as_clause(reason)}"


def explain_receipt(candidates: Sequence[Candidate], names: Mapping[CompanyId, str]) -> list[str]:
    """Tell a whole receipt: those in line by rank with what settled ties, then the rest."""
    line = sorted((c for c in candidates if c.rank is not None), key=lambda c: c.rank or 0)
    others = [c for c in candidates if c.rank is None]
    others.sort(key=lambda c: (c.outcome == "no_bid", c.campaign_id, c.share or 0))
    told = [explain(candidate, names) for candidate in line]
    for place, (ahead, behind) in enumerate(pairwise(line), start=1):
        if (
            ahead.rectified_cents == behind.rectified_cents
            and ahead.first_look == behind.first_look
        ):
            by = "the draw" if _rate(ahead) == _rate(behind) else "the lower rejection rate"
            told[place] += f" It was worth as much as the one before it; {by} decided."
    return told + [explain(candidate, names) for candidate in others]


def _by_contract(candidate: Candidate) -> str:
    """What a contract made of the list price, to stand behind the base it came to."""
    terms = candidate.terms
    if terms is None:
        return ""
    steps = []
    if terms.min_score is not None:
        steps.append(f"its tier from a score of {terms.min_score}")
    if terms.discount_bp:
        steps.append(f"a discount of {format_cents(terms.discount_bp)} %")
    return f" ({_dollars(terms.listed_cents)} under {' and '.join(steps)} of its contract)"


def _as_clause(reason: Reason | None) -> str:
    """A reason's sentence, to stand behind another's colon or comma."""
    if reason is None:
        return "no reason is on the receipt."
    return reason.message[0].lower() + reason.message[1:]


def _dollars(cents: int) -> str:
    return f"${format_cents(cents)}"


def _percent(candidate: Candidate) -> str:
    hundredths = percent_hundredths(candidate.rejected, candidate.assigned)
    return f"{format_cents(hundredths)} %"


def _ordinal(rank: int | None) -> str:
    if rank is None:
        return "unranked"
    if rank <= len(_ORDINALS):
        return _ORDINALS[rank - 1]
    ending = {1: "st", 2: "nd", 3: "rd"}.get(rank % 10, "th") if rank % 100 // 10 != 1 else "th"
    return f"{rank}{ending}"
