"""What a worker keeps count of besides its calls, for the metrics: names, helps and values."""

from __future__ import annotations

import asyncio

from exchange.app import Exchange
from exchange.core.reasons import BIDDER_REASONS

Figures = dict[str, tuple[str, float]]
"""Help and value by name."""


def figures_of(exchange: Exchange) -> Figures:
    """Every figure of a worker as it is now."""
    market, offers, receipts = exchange.market, exchange.offers, exchange.receipts
    return {
        "exchange_tasks": ("Tasks of this worker's event loop", len(asyncio.all_tasks())),
        "exchange_leads_open": ("Leads in delivery here", exchange.posting.running),
        "exchange_leads_stranded": (
            "Leads a store's failure stopped here",
            len(exchange.posting.stranded),
        ),
        "exchange_mirror_dirty": (
            "Companies the fast store does not have as they are",
            len(exchange.mirror.dirty),
        ),
        "exchange_offers_put": ("Pings the fast store was asked about", offers.puts),
        "exchange_offers_put_seconds": (
            "Time this worker spent on asking it, waiting left out",
            offers.spent_s,
        ),
        "exchange_receipts_waiting": ("Receipts to be written", receipts.waiting),
        "exchange_receipts_shortened": (
            "Receipts that lost their detail since the start",
            receipts.dropped_details,
        ),
        "exchange_receipt_batches_failed": (
            "Batches of receipts PostgreSQL did not take at once, since the start",
            receipts.failed_batches,
        ),
        "exchange_campaigns": (
            "Campaigns in this worker's market",
            sum(len(index.runners) for index in market.indexes.values()),
        ),
        "exchange_companies": ("Companies in this worker's market", len(market.companies)),
        **_of_bidders(exchange),
        **_of_alerts(exchange),
    }


def _of_alerts(exchange: Exchange) -> Figures:
    alerting, sending, tests = exchange.alerting, exchange.notifying, exchange.connections
    return {
        "exchange_alerts_raised": ("Alerts this worker raised since the start", alerting.raised),
        "exchange_alerts_recovered": ("Alerts this worker saw end", alerting.recovered),
        "exchange_notices_sent": ("Notices of alerts this worker sent", sending.sent),
        "exchange_notices_retried": ("Tries of notices to be made again", sending.retried),
        "exchange_notices_failed": ("Notices given up after all tries", sending.failed),
        "exchange_connection_tests_passed": ("Connection tests that passed", tests.passed),
        "exchange_connection_tests_failed": ("Connection tests that failed", tests.failed),
        "exchange_connection_tests_skipped": ("Connection tests not made", tests.skipped),
    }


def _of_bidders(exchange: Exchange) -> Figures:
    found = exchange.bidders.figures()
    told: Figures = {
        "exchange_pings_asking": ("Pings that wait for companies' bidders", exchange.asking),
        "exchange_bidders_bids": ("Bids companies' bidders made since the start", found.bids),
        "exchange_bidders_connections": ("Connections to bidders", found.connections),
        "exchange_bidders_waiting": ("Calls that wait for a connection", found.waiting),
    }
    for state in ("well", "faltering", "resting"):
        told[f"exchange_bidders_{state}"] = (f"Bidders that are {state}", found.lines.get(state, 0))
    for reason in BIDDER_REASONS:
        told[f"exchange_no_bids_{reason.code}"] = (reason.message, found.reasons.get(reason, 0))
    return told
