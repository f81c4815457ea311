"""Bidders to start from: a flat price, prices by area, and a budget paced over the day."""

from bidders.reference.pacing import Day, PacedBudget, day_of, spendable
from bidders.reference.prices import AreaPrices, flat_price
from bidders.reference.ready import ReferenceBidder, reference_bidders

__all__ = [
    "AreaPrices",
    "Day",
    "PacedBudget",
    "ReferenceBidder",
    "day_of",
    "flat_price",
    "reference_bidders",
    "spendable",
]
