"""A receipt over many campaigns told whole again: each of them judged as it stood at that moment.

The plain scan of `auction.decide`, campaign by campaign, over what is known of then, and the result
held against what the receipt counts and names. Where a company may have stood in two ways, that one
is taken which the receipt agrees with; where it agrees with both, neither is claimed. What is not
known is said. Source: rules §3 and §7.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice, product
from math import prod
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from exchange.core.auction import Award, BidEntry, Candidate, explain, hold
from exchange.core.model import CampaignId, CompanyId, Ranked
from exchange.core.moment import Judged, Told
from exchange.core.race import MOST_FALLEN
from exchange.core.reasons import Reason

MOST_COMBINATIONS: Final = 1_024
"""Ways in which companies may have stood together that are held against a receipt."""

_FALLEN: Final = (Reason.BELOW_FLOOR, Reason.BELOW_MIN_PRICE)
_BEHIND: Final = (Reason.OUTBID, Reason.SAME_COMPANY, Reason.SHARE_COUNT, Reason.FIRST_LOOK)
_UNCOUNTED: Final = frozenset(reason.code for reason in (*_FALLEN, *_BEHIND))
"""Reasons a race does not count to the last: who is far behind is counted as outbid, unlooked."""

Unknown = Literal["campaign_version", "bidder_answer", "on_its_way"]
"""Why a campaign's outcome is not known: its version of then is not kept; what its bidder answered
is not on the receipt; a change was on its way to the worker, and the receipt agrees with either."""


class Difference(Struct, frozen=True, kw_only=True):
    """Something the receipt tells otherwise: a reason's count, a place in line, a named campaign.

    ``told`` is the receipt's, ``found`` what was recomputed: counts, or what the campaign came to.
    """

    kind: Literal["count", "line", "named"]
    reason: str | None = None
    campaign_id: CampaignId | None = None
    told: int | str | None = None
    found: int | str | None = None


class Open(Struct, frozen=True, kw_only=True):
    """A campaign whose outcome is not known, and why."""

    campaign_id: CampaignId
    company_id: CompanyId
    why: Unknown


class Retold(Struct, frozen=True, kw_only=True):
    """Every campaign's outcome, as far as it is known.

    ``moving`` are campaigns whose company's figures were changing at that moment: their outcome is
    certain, their rate may be that of a moment before or after.
    """

    candidates: tuple[Candidate, ...]
    open: tuple[Open, ...] = ()
    differences: tuple[Difference, ...] = ()
    moving: tuple[CampaignId, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether all is known, and the receipt agrees with it."""
        return not self.open and not self.differences


def retell(
    told: Told,
    settled: Sequence[Judged],
    unsettled: Mapping[CompanyId, Sequence[Way]],
    unknown: Sequence[Open],
    max_buyers: int,
    max_ranks: int,
) -> Retold:
    """Tell every campaign of an auction, and hold it against the receipt.

    ``settled`` are the campaigns of companies that stood in one way; ``unsettled`` those of others,
    once for each way, the likeliest first.
    """
    unsettled = {one: _fitting(told, one, ways) for one, ways in unsettled.items()}
    choice, doubtful = _choose(told, settled, unsettled)
    judged = [*settled, *(one for way in choice.values() for one in way)]
    sure = [one for one in judged if one.runner.campaign.campaign_id not in doubtful]
    bids = [bid for one in judged for bid in one.entries]
    award = hold(bids, max_buyers)
    silent = [one for one in sure if _is_unheard(one)]
    full = sum(1 for candidate in told.named if candidate.rank is None) >= MOST_FALLEN
    candidates = [
        *(c for c in explain(bids, award) if c.campaign_id not in doubtful),
        *(one.fallen for one in sure if one.fallen and not (full and _is_unheard(one))),
    ]
    is_open = bool(silent or doubtful)
    if is_open:
        # A bid nobody knows of may stand between those behind the offer's line.
        candidates = [_unranked_beyond(c, len(told.line)) for c in candidates]
    open_ = [
        *unknown,
        *(_open(o, "on_its_way") for o in judged if o.runner.campaign.campaign_id in doubtful),
        *(_open(one, "bidder_answer") for one in silent if full),
    ]
    return Retold(
        candidates=tuple(sorted(candidates, key=_order)),
        open=tuple(open_),
        differences=(
            *_count_differences(told, judged, unknown),
            *_line_differences(told, award, max_ranks, is_open),
            *_named_differences(told, candidates),
        ),
        moving=tuple(one for one in _moving(choice, unsettled) if one not in doubtful),
    )


Way = Sequence[Judged]
"""One way a company may have stood, by what each of its campaigns comes to."""


def _choose(
    told: Told, settled: Sequence[Judged], unsettled: Mapping[CompanyId, Sequence[Way]]
) -> tuple[dict[CompanyId, Way], set[CampaignId]]:
    """The ways that agree with the receipt's counts, and the campaigns that are not sure then."""
    choice = {company_id: ways[0] for company_id, ways in unsettled.items()}
    unlike = {company_id: _unlike(ways) for company_id, ways in unsettled.items()}
    many = [company_id for company_id, ways in unlike.items() if len(ways) > 1]
    if not many:
        return choice, set()
    fixed = _counts(settled)
    for company_id, way in choice.items():
        if company_id not in many:
            fixed.update(_counts(way))
    wanted = _counted(told.reasons)
    agreeing: list[tuple[Way, ...]] = []
    for together in islice(product(*(unlike[one] for one in many)), MOST_COMBINATIONS):
        counts = fixed.copy()
        for way in together:
            counts.update(_counts(way))
        if _counted(counts) == wanted:
            agreeing.append(together)
    all_tried = prod(len(unlike[one]) for one in many) <= MOST_COMBINATIONS
    possible = [unlike[one] for one in many]
    if agreeing:
        choice.update(zip(many, agreeing[0], strict=True))
        if all_tried:
            possible = [list(ways) for ways in zip(*agreeing, strict=True)]
    return choice, {campaign_id for ways in possible for campaign_id in _doubtful(ways)}


def _doubtful(ways: Sequence[Way]) -> Iterable[CampaignId]:
    """The campaigns of a company that these ways do not agree on.

    Where one may have had a price that stands, so does what became of the company's other prices.
    """
    seen = [{one.reason for one in each} for each in zip(*ways, strict=True)]
    shadow = any(len(reasons) > 1 and None in reasons for reasons in seen)
    for one, reasons in zip(ways[0], seen, strict=True):
        if len(reasons) > 1 or (shadow and None in reasons):
            yield one.runner.campaign.campaign_id


def _fitting(told: Told, company_id: CompanyId, ways: Sequence[Way]) -> Sequence[Way]:
    """Of a company's ways those that would not have put it in line, where it is not; else all."""
    if any(ranked.company_id == company_id for ranked in told.line):
        return ways
    fitting = [
        way for way in ways if not any(_is_ahead(bid, told) for o in way for bid in o.entries)
    ]
    return fitting or ways


def _is_ahead(bid: BidEntry, told: Told) -> bool:
    """Whether a bid is worth more than the last one in line."""
    if told.offer is None:
        return True
    last = told.line[-1]
    if bid.share != told.offer.share:
        return False
    return (not bid.first_look, -bid.rectified_cents) < (not last.first_look, -last.rectified_cents)


def _unlike(ways: Sequence[Way]) -> list[Way]:
    """The ways that differ in what becomes of a campaign; of alike ones the first."""
    found: dict[tuple[Reason | None, ...], Way] = {}
    for way in ways:
        found.setdefault(tuple(one.reason for one in way), way)
    return list(found.values())


def _moving(
    choice: Mapping[CompanyId, Way], unsettled: Mapping[CompanyId, Sequence[Way]]
) -> Iterable[CampaignId]:
    for company_id, ways in unsettled.items():
        for one, *others in zip(choice[company_id], *ways, strict=True):
            if any((one.entries, one.fallen) != (o.entries, o.fallen) for o in others):
                yield one.runner.campaign.campaign_id


def _counts(judged: Iterable[Judged]) -> Counter[str]:
    return Counter(one.reason.code for one in judged if one.reason is not None)


def _counted(counts: Mapping[str, int]) -> dict[str, int]:
    """The counts that must agree to the last."""
    return {code: n for code, n in counts.items() if n and code not in _UNCOUNTED}


def _count_differences(
    told: Told, judged: Sequence[Judged], unknown: Sequence[Open]
) -> Iterable[Difference]:
    """Where a reason's count is another; those behind are counted together."""
    found = _counts(judged)
    for code in sorted({*_counted(told.reasons), *_counted(found)}):
        if told.reasons.get(code, 0) != found.get(code, 0):
            yield Difference(
                kind="count", reason=code, told=told.reasons.get(code, 0), found=found.get(code, 0)
            )
    for reason in _FALLEN:
        # The race looks at no more than it must: it may count fewer of these, never more.
        if told.reasons.get(reason.code, 0) > found.get(reason.code, 0):
            yield Difference(
                kind="count",
                reason=reason.code,
                told=told.reasons[reason.code],
                found=found.get(reason.code, 0),
            )
    total = sum(told.reasons.values()) + told.winners
    if total != len(judged) + len(unknown):
        yield Difference(kind="count", told=total, found=len(judged) + len(unknown))


def _line_differences(
    told: Told, award: Award, max_ranks: int, has_silent: bool
) -> Iterable[Difference]:
    """Where another company stands in line, or another number of them won."""
    found = award.ranks[: award.winners + max_ranks]
    if told.winners != award.winners:
        yield Difference(kind="line", told=told.winners, found=award.winners)
    for place, ranked in enumerate(told.line):
        other = found[place] if place < len(found) else None
        if other is None or _worth(ranked) != _worth(other):
            yield Difference(
                kind="line",
                campaign_id=ranked.campaign_id,
                told=place + 1,
                found=_place_of(ranked, award),
            )
    for other in found[len(told.line) :]:
        if len(told.line) < told.winners + max_ranks and not has_silent:
            yield Difference(kind="line", campaign_id=other.campaign_id, found=other.campaign_id)


def _place_of(ranked: Ranked, award: Award) -> int | str | None:
    """Where a campaign stands now; in words where it is worth something else there."""
    for place, other in enumerate(award.ranks, start=1):
        if other.campaign_id == ranked.campaign_id:
            return place if _worth(other) == _worth(ranked) else f"{place}, at another price"
    return None


def _named_differences(told: Told, candidates: Sequence[Candidate]) -> Iterable[Difference]:
    """Where a campaign the receipt names fell for something else, or at another price."""
    found: dict[CampaignId, Candidate] = {}
    for candidate in candidates:
        found.setdefault(candidate.campaign_id, candidate)
    for named in told.named:
        if named.rank is not None:
            continue
        other = found.get(named.campaign_id)
        if other is None or _story(named) != _story(other):
            yield Difference(
                kind="named",
                campaign_id=named.campaign_id,
                told=_code(named),
                found=None if other is None else _code(other),
            )


def _worth(ranked: Ranked) -> tuple[object, ...]:
    return (
        ranked.campaign_id,
        ranked.base_cents,
        ranked.rectified_cents,
        ranked.charged_cents,
        ranked.rejected,
        ranked.assigned,
        ranked.first_look,
    )


def _story(candidate: Candidate) -> tuple[object, ...]:
    return (
        candidate.outcome,
        candidate.reason,
        candidate.share,
        candidate.base_cents,
        candidate.rectified_cents,
        candidate.charged_cents,
        candidate.rejected,
        candidate.assigned,
    )


def _code(candidate: Candidate) -> str | None:
    return None if candidate.reason is None else candidate.reason.code


def _is_unheard(judged: Judged) -> bool:
    """Whether a campaign's own bidder said something of which only what it came to is known."""
    fallen = judged.fallen
    return fallen is not None and fallen.reason is Reason.OUTBID and fallen.base_cents is None


def _open(judged: Judged, why: Unknown) -> Open:
    campaign = judged.runner.campaign
    return Open(campaign_id=campaign.campaign_id, company_id=campaign.company_id, why=why)


def _unranked_beyond(candidate: Candidate, places: int) -> Candidate:
    is_beyond = candidate.rank is not None and candidate.rank > places
    return replace(candidate, rank=None) if is_beyond else candidate


def _order(candidate: Candidate) -> tuple[bool, int, bool, str, int]:
    """Those in line by rank, then other bids, then who did not bid."""
    rank = candidate.rank
    is_absent = candidate.outcome == "no_bid"
    return rank is None, rank or 0, is_absent, candidate.campaign_id, candidate.share or 0
