"""What-ifs as the wire shows them."""

from __future__ import annotations

from typing import Final

from exchange.core.what_if import Outcome
from exchange.flow.replaying import Answered, Change, Tally
from exchange.web.rates_codec import perhaps, show_rates
from exchange.web.wire import dollars
from exchange.web.wire_standing import (
    AuctionChange,
    BoughtAnswer,
    CutAnswer,
    OutcomeAnswer,
    TallyAnswer,
    WhatIfAnswer,
)

ASSUMPTIONS: Final = (
    "Prices, campaigns, caps, budgets and balances are as they were at each ping; leads won in "
    "addition use nothing up.",
    "The floor, the policy and the CRM threshold are those in force now.",
    "Everybody else bids as they did.",
    "An auction won is a lead bought only if its seller posts it.",
)


def show_what_if(answered: Answered) -> WhatIfAnswer:
    """Write what a day would have come to."""
    cut = None
    if answered.cut is not None and answered.until is not None:
        cut = CutAnswer(by=answered.cut, until=answered.until)
    return WhatIfAnswer(
        company_id=answered.company_id,
        day=answered.day,
        present=show_rates(answered.present),
        assumed=show_rates(answered.assumed),
        receipts_read=answered.read,
        cut=cut,
        took_part=answered.took_part,
        not_known={str(why): count for why, count in sorted(answered.not_known.items())},
        before=_tally(answered.before),
        after=_tally(answered.after),
        newly_won=answered.newly_won,
        no_longer_won=answered.no_longer_won,
        repriced=answered.repriced,
        bought=BoughtAnswer(
            leads=answered.bought.leads, spend=dollars(answered.bought.spend_cents)
        ),
        assumptions=ASSUMPTIONS,
        changes=tuple(_change(change) for change in answered.changes),
    )


def _tally(tally: Tally) -> TallyAnswer:
    return TallyAnswer(auctions_won=tally.won, spend=dollars(tally.spend_cents))


def _change(change: Change) -> AuctionChange:
    return AuctionChange(
        ping_id=change.receipt.ping_id,
        vertical=change.receipt.vertical,
        decided_at=change.receipt.decided_at,
        before=_outcome(change.replayed.before),
        after=_outcome(change.replayed.after),
    )


def _outcome(outcome: Outcome) -> OutcomeAnswer:
    return OutcomeAnswer(
        won=outcome.won,
        rank=outcome.rank,
        share=outcome.share,
        campaign_id=outcome.campaign_id,
        base=perhaps(outcome.base_cents),
        charged=perhaps(outcome.charged_cents),
    )
