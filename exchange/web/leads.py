"""Calls about leads: ping and post, the receipt, the company's inbox, and returns."""

from __future__ import annotations

from time import perf_counter
from typing import Final

from exchange.core.model import LeadId, PingId, SellerId
from exchange.core.reasons import REJECTION_REASONS
from exchange.flow.faults import Forbidden, Gone, Invalid, NotFound
from exchange.flow.ports import Receipt
from exchange.web.calls import Call, Reply
from exchange.web.market_codec import category_of, show_lead, show_rejection, show_sale
from exchange.web.metrics import Metrics
from exchange.web.ping_codec import read_ping, write_ping_answer
from exchange.web.post_codec import answer_post, read_post
from exchange.web.quality_codec import show_lead_quality, show_pinged_quality
from exchange.web.queries import Asked
from exchange.web.receipt_codec import (
    show_full_receipt,
    show_own_receipt,
    show_receipt,
    show_whole_receipt,
)
from exchange.web.returns_codec import show_preview
from exchange.web.wire import PostAnswer
from exchange.web.wire_leads import (
    LeadAnswer,
    LeadList,
    OwnReceipt,
    RejectionAnswer,
    RejectionBody,
    SaleList,
    SellerReceipt,
)
from exchange.web.wire_quality import LeadQualityAnswer
from exchange.web.wire_returns import RejectionPreview

RECEIPT_ASKED: Final = (
    Asked(
        name="campaigns",
        meaning="For operators: named (default) shows the campaigns the receipt names, all every "
        "campaign there was, recomputed from what is kept of then. A company is shown all its own.",
        shape={"type": "string", "enum": ["named", "all"]},
    ),
)


async def ping(call: Call) -> Reply:
    """Hold the auction for an anonymous lead."""
    doors, metrics = call.site.doors, call.site.metrics
    timed = metrics.samples()
    started = perf_counter()
    asked = read_ping(call, doors.clock.now())
    if timed:
        metrics.time_stage("decode", perf_counter() - started)
    receipt = await doors.ping(asked)
    metrics.count_pings((receipt,))
    return Reply(write_timed(metrics, receipt) if timed else write_ping_answer(receipt))


def write_timed(metrics: Metrics, receipt: Receipt) -> bytes:
    """Write a decided ping's answer, and tell how long that and the stages before it took."""
    metrics.time_stages(receipt)
    started = perf_counter()
    body = write_ping_answer(receipt)
    metrics.time_stage("encode", perf_counter() - started)
    return body


async def post(call: Call) -> PostAnswer:
    """Sell a pinged lead."""
    doors, metrics = call.site.doors, call.site.metrics
    request = read_post(call, doors.clock.now())
    try:
        result = await doors.post(request)
    except Gone:
        metrics.count_post("expired")
        raise
    metrics.count_post(result.status)
    return answer_post(result)


async def get_ping(call: Call) -> SellerReceipt | OwnReceipt:
    """Show a ping's receipt: to its seller in part, to an operator whole, to a company its own."""
    ping_id, role = PingId(call.id("ping_id")), call.who.role
    wanted = call.query.get("campaigns", "all" if role == "company" else "named")
    if wanted not in ("named", "all") or (role == "company" and wanted == "named"):
        raise Invalid(
            "campaigns is named or all; a company is shown all its own.", field="campaigns"
        )
    if wanted == "all":
        return await _retold(call, ping_id)
    receipt = await call.site.doors.receipt(ping_id)
    if receipt is None or not _may_see(call, receipt.seller_id):
        raise NotFound("There is no such ping.")
    return show_whole_receipt(receipt) if call.is_operator else show_receipt(receipt)


async def _retold(call: Call, ping_id: PingId) -> SellerReceipt | OwnReceipt:
    """A receipt with every campaign the caller may see."""
    if call.who.role == "seller":
        raise Forbidden("A seller sees no campaigns; leave campaigns out.", field="campaigns")
    told = await call.site.doors.whole_receipt(ping_id)
    if told is not None and call.is_operator:
        return show_full_receipt(told)
    own = None if told is None else show_own_receipt(told, call.company_id)
    if own is None:
        raise NotFound("There is no such ping, or no campaign of yours was there.")
    return own


async def get_quality(call: Call) -> LeadQualityAnswer:
    """Show a lead's quality score with its flaws, and the consent kept of it."""
    doors, ping_id = call.site.doors, PingId(call.id("ping_id"))
    # The lead first: it is kept for good, and the receipt is not.
    posted = await doors.inbox.posted(ping_id)
    receipt = await doors.receipt(ping_id) if posted is None else None
    if posted is not None and _may_see(call, posted.offer.seller_id):
        return show_lead_quality(ping_id, posted.offer, posted.lead_id)
    if receipt is not None and _may_see(call, receipt.seller_id):
        return show_pinged_quality(receipt)
    raise NotFound("There is no such ping.")


def _may_see(call: Call, seller_id: SellerId) -> bool:
    return call.is_operator or seller_id == call.seller_id


async def list_leads(call: Call) -> LeadList:
    """List the leads the company took."""
    page = call.page()
    found = await call.site.doors.inbox.leads(call.company_id, page.after, page.limit + 1)
    leads, following = page.cut(list(found), lambda lead: lead.lead_id)
    return LeadList(items=tuple(show_lead(lead) for lead in leads), next=following)


async def list_sales(call: Call) -> SaleList:
    """List the leads the seller sold."""
    page = call.page()
    found = await call.site.doors.inbox.sales(call.seller_id, page.after, page.limit + 1)
    leads, following = page.cut(list(found), lambda lead: lead.lead_id)
    return SaleList(items=tuple(show_sale(lead) for lead in leads), next=following)


async def get_lead(call: Call) -> LeadAnswer:
    """Show one lead the company took."""
    lead_id = LeadId(call.id("lead_id"))
    lead = await call.site.doors.inbox.lead(call.company_id, lead_id)
    if lead is None:
        raise NotFound("There is no such lead.")
    return show_lead(lead)


async def reject(call: Call) -> RejectionAnswer | RejectionPreview:
    """Return a lead the company took."""
    lead_id, body = LeadId(call.id("lead_id")), call.read(RejectionBody)
    dry_run = call.option("dry_run") or body.dry_run
    if (body.reason is None) == (body.text is None):
        raise Invalid("Give either a reason or a text.", field="reason")
    if body.reason is not None and body.reason not in REJECTION_REASONS:
        known = ", ".join(REJECTION_REASONS)
        raise Invalid(f"reason must be one of {known}.", field="reason", code="unknown_reason")
    if dry_run:
        preview = await call.site.doors.returning.preview(
            call.company_id,
            lead_id,
            reason_code=body.reason,
            text=body.text,
            review=body.review,
        )
        return show_preview(preview, call.site.doors.market.policy)
    rejected, standing = await call.site.doors.reject(
        call.company_id,
        lead_id,
        reason_code=body.reason,
        text=body.text,
        note=body.note,
        review=body.review,
    )
    if not rejected.is_repeat:
        call.site.metrics.count_rejection(category_of(rejected.reason) or "unclear")
    return show_rejection(rejected, standing, call.site.doors.market.policy)
