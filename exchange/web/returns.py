"""Calls about returns: many at once, lists, reviews, disputes and reversals."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Final, get_args

from exchange.core.reasons import REJECTION_REASONS, Reason
from exchange.flow.faults import Invalid
from exchange.flow.returning import Kind, LineResult, Return, Statement
from exchange.web.bodies import is_csv
from exchange.web.bulk_lines import content_type_of, form_of, read_csv, read_json, write
from exchange.web.calls import Call, Streamed
from exchange.web.market_codec import category_of
from exchange.web.queries import Asked
from exchange.web.returns_codec import show_return
from exchange.web.wire_returns import (
    BulkBody,
    DisputeBody,
    DisputeDecisionBody,
    ReturnAnswer,
    ReturnList,
    ReversalBody,
    ReviewBody,
)

BULK_S: Final = 600.0
"""Longest a file of returns may take: the most lines there may be take a few minutes."""


KINDS: Final[dict[str, Kind]] = {kind: kind for kind in get_args(Kind)}
LIST_ASKED: Final = (
    Asked(
        name="kind",
        meaning="Only returns (manual) or only deliveries that failed for good (crm); left out, an "
        "operator reads both, a company its returns. A seller has returns only",
        shape={"type": "string", "enum": list(KINDS)},
    ),
    Asked(
        name="counting",
        meaning="Of a company's own, only those in its rates: assigned inside the window, and "
        "failed deliveries since its last CRM reset",
        shape={"type": "boolean", "default": False},
    ),
)


async def bulk_reject(call: Call) -> Streamed:
    """Return many leads, each line on its own."""
    limits, dry_run = call.site.limits, call.option("dry_run")
    if is_csv(call.headers):
        lines = read_csv(call.body, limits.max_bulk_lines)
    else:
        body = call.read(BulkBody)
        dry_run |= body.dry_run
        lines = read_json(body.lines, limits.max_bulk_lines)
    results = call.site.doors.returning.bulk(call.company_id, lines, dry_run=dry_run)
    form = form_of(call.headers.get("Accept", ""))
    counted = results if dry_run else _counted(call, results)
    chunks = write(counted, form, dry_run=dry_run)
    return Streamed(b"", chunks, content_type_of(form), within_s=BULK_S)


async def _counted(
    call: Call, results: AsyncGenerator[LineResult, None]
) -> AsyncGenerator[LineResult, None]:
    async with aclosing(results):
        async for result in results:
            if result.reason is not None and result.status != "returned_before":
                call.site.metrics.count_rejection(category_of(result.reason) or "unclear")
            yield result


async def list_returns(call: Call) -> ReturnList:
    """List returns: a seller's, a company's, or everybody's; and deliveries that failed."""
    who, page, counting = call.who, call.page(), call.option("counting")
    kind = _kind(call)
    if counting and who.role != "company":
        raise Invalid("counting is for a company's own returns.", field="counting")
    found = await call.site.doors.returning.returns(
        who.role, who.subject_id, page.after, page.limit + 1, kind, counting=counting
    )
    return _list(call, found, lambda one: one.rejection_id)


async def get_return(call: Call) -> ReturnAnswer:
    """Show a return with all that became of it."""
    who = call.who
    return _show(
        call,
        await call.site.doors.returning.one(who.role, who.subject_id, call.id("rejection_id")),
    )


async def list_reviews(call: Call) -> ReturnList:
    """List the returns that wait for a review."""
    page = call.page()
    found = await call.site.doors.returning.in_review(page.after, page.limit + 1)
    return _list(call, found, lambda one: one.rejection_id)


async def review_return(call: Call) -> ReturnAnswer:
    """Approve or decline a return under review."""
    rejection_id, body = call.id("rejection_id"), call.read(ReviewBody)
    approved = body.decision == "approved"
    if not approved and body.sentence is None:
        raise Invalid(
            "A return is declined with a sentence.", field="sentence", code="missing_field"
        )
    if not approved and body.reason is not None:
        raise Invalid("A return that is declined has no reason to be set.", field="reason")
    return _show(
        call,
        await call.site.doors.returning.decide_review(
            rejection_id, approved=approved, reason=_reason(body.reason), sentence=body.sentence
        ),
    )


async def dispute_return(call: Call) -> ReturnAnswer:
    """Dispute a return of a lead the seller sold."""
    rejection_id, body = call.id("rejection_id"), call.read(DisputeBody)
    said = Statement(statement=body.statement, evidence=body.evidence)
    return _show(call, await call.site.doors.returning.dispute(rejection_id, call.seller_id, said))


async def list_disputes(call: Call) -> ReturnList:
    """List the returns whose dispute waits for a decision."""
    page = call.page()
    found = await call.site.doors.returning.open_disputes(page.after, page.limit + 1)
    return _list(call, found, lambda one: one.dispute.dispute_id if one.dispute else "")


async def decide_dispute(call: Call) -> ReturnAnswer:
    """Let a disputed return stand, or reverse it."""
    dispute_id, body = call.id("dispute_id"), call.read(DisputeDecisionBody)
    return _show(
        call,
        await call.site.doors.returning.decide_dispute(
            dispute_id, overturned=body.decision == "overturned", sentence=body.sentence
        ),
    )


async def reverse_return(call: Call) -> ReturnAnswer:
    """Take a rejection back, a company's or that of a failed delivery."""
    rejection_id, body = call.id("rejection_id"), call.read(ReversalBody)
    return _show(call, await call.site.doors.returning.reverse(rejection_id, body.sentence))


def _kind(call: Call) -> Kind | None:
    given = call.query.get("kind")
    if given == "crm" and call.who.role == "seller":
        raise Invalid("Deliveries that failed are not told to sellers.", field="kind")
    if given is not None and given not in KINDS:
        raise Invalid(f"kind is one of {', '.join(KINDS)}.", field="kind")
    return None if given is None else KINDS[given]


def _show(call: Call, found: Return) -> ReturnAnswer:
    return show_return(found, call.who.role, call.site.doors.returning.policy)


def _list(call: Call, found: Sequence[Return], key: Callable[[Return], str]) -> ReturnList:
    returns, following = call.page().cut(list(found), key)
    return ReturnList(items=tuple(_show(call, one) for one in returns), next=following)


def _reason(code: str | None) -> Reason | None:
    if code is None:
        return None
    reason = REJECTION_REASONS.get(code)
    if reason is None:
        known = ", ".join(REJECTION_REASONS)
        raise Invalid(f"reason must be one of {known}.", field="reason", code="unknown_reason")
    return reason
