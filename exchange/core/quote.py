"""What a campaign bids under its company's present standing, reckoned once and used on many pings.

Only modifiers make a price depend on the lead; a campaign without them has its prices ready.
Source: rules §6.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from exchange.core.contract import Deal, apply_terms
from exchange.core.model import CampaignId, CompanyId, Policy, Ranked
from exchange.core.pricing import charge, rectify, seller_price
from exchange.core.runner import Runner, base_price, shares
from exchange.core.standing import Standing
from exchange.core.terms import Applied

REMEMBERED_PRICES: Final = 64
"""Base prices of one campaign of which it is remembered what they came to."""


class Price(Struct, frozen=True, gc=False):
    """One price of a campaign through its whole reckoning, in cents.

    ``terms`` is what a contract made of the list price, if it changed it.
    """

    base_cents: int
    rectified_cents: int
    charged_cents: int
    seller_cents: int
    terms: Applied | None = None


class Quote(Struct, frozen=True, kw_only=True):
    """A campaign's prices by share count.

    ``prices`` is None where modifiers make them depend on the lead; then ``by_base`` has what each
    base price came to so far. ``in_line`` has places in line by base price.
    """

    runner: Runner
    campaign_id: CampaignId
    company_id: CompanyId
    standing: Standing
    prices: dict[int, Price] | None
    is_remote: bool
    by_base: dict[int, Price]
    in_line: dict[int, Ranked]


def quote_for(runner: Runner, standing: Standing, policy: Policy) -> Quote:
    """Reckon a campaign's prices under a standing."""
    prices = None
    if not runner.modifiers and runner.campaign.bid.remote is None:
        prices = {
            share: reckon(base, standing, policy)
            for share in shares(runner.campaign)
            if (base := _listed(runner, share)) is not None
        }
    return Quote(
        runner=runner,
        campaign_id=runner.campaign.campaign_id,
        company_id=runner.campaign.company_id,
        standing=standing,
        prices=prices,
        is_remote=runner.campaign.bid.remote is not None,
        by_base={},
        in_line={},
    )


def ranked_of(quote: Quote, price: Price) -> Ranked:
    """A campaign's place in line at a price that no contract changed, on a lead without rounds."""
    ranked = quote.in_line.get(price.base_cents)
    if ranked is None:
        if len(quote.in_line) >= REMEMBERED_PRICES:
            quote.in_line.clear()
        ranked = quote.in_line[price.base_cents] = Ranked(
            campaign_id=quote.campaign_id,
            company_id=quote.company_id,
            base_cents=price.base_cents,
            rectified_cents=price.rectified_cents,
            charged_cents=price.charged_cents,
            rejected=quote.standing.rejected,
            assigned=quote.standing.assigned,
        )
    return ranked


def ranked_for(
    quote: Quote, price: Price, *, first_look: bool, token: str | None, drawn: int | None
) -> Ranked:
    """A campaign's place in line with what only one lead has."""
    standing = quote.standing
    return Ranked(
        campaign_id=quote.campaign_id,
        company_id=quote.company_id,
        base_cents=price.base_cents,
        rectified_cents=price.rectified_cents,
        charged_cents=price.charged_cents,
        rejected=standing.rejected,
        assigned=standing.assigned,
        first_look=first_look,
        token=token,
        drawn=drawn,
        terms=price.terms,
    )


def price_of(quote: Quote, attributes: Struct, share: int, policy: Policy) -> Price | None:
    """A campaign's price for a lead at a share count; None if it has none."""
    if quote.prices is not None:
        return quote.prices.get(share)
    base = base_price(quote.runner, attributes, share)
    return None if base is None else price_at(quote, base, policy)


def price_at(quote: Quote, base: int, policy: Policy) -> Price:
    """What a base price of a campaign, in cents, comes to under its company's standing."""
    price = quote.by_base.get(base)
    if price is None:
        if len(quote.by_base) >= REMEMBERED_PRICES:
            quote.by_base.clear()
        price = quote.by_base[base] = reckon(base, quote.standing, policy)
    return price


def price_under(
    quote: Quote, listed: int, deal: Deal, score: int, *, is_named: bool, policy: Policy
) -> Price:
    """What a campaign's list price, in cents, comes to under a contract and the standing.

    ``is_named`` tells that the company's own bidder named it.
    """
    base, terms = apply_terms(deal, listed, score, is_named=is_named)
    price = price_at(quote, base, policy)
    return price if terms is None else replace(price, terms=terms)


def reckon(base_cents: int, standing: Standing, policy: Policy) -> Price:
    """Take a base price to what is charged and what the seller gets of it."""
    rectified = rectify(base_cents, standing)
    charged = charge(base_cents, rectified, policy)
    return Price(base_cents, rectified, charged, seller_price(charged, policy.take_rate_bp))


def _listed(runner: Runner, share: int) -> int | None:
    bid = runner.campaign.bid
    return bid.exclusive_cents if share == 1 else bid.shared_cents.get(share)
