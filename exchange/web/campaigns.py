"""Calls about campaigns: a company's own, and for an operator anybody's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from msgspec.structs import asdict, replace
from uuid_utils import uuid7

from exchange.core.filters import FilterError
from exchange.core.model import Campaign, CampaignId, CompanyId
from exchange.core.money import divide_half_even
from exchange.core.remote import Remote
from exchange.core.verticals import Vertical
from exchange.flow.bidding import BidderState, SimulatedBids
from exchange.flow.dialects import DialectDesk, DialectFault
from exchange.flow.faults import Forbidden, Invalid, NotFound
from exchange.flow.registry import CampaignRecord
from exchange.web.calls import Call
from exchange.web.campaign_codec import read_campaign, show_campaign
from exchange.web.campaign_secrets import keep_secrets, seal_secrets
from exchange.web.wire import dollars
from exchange.web.wire_campaigns import (
    BidderAnswer,
    CampaignAnswer,
    CampaignBody,
    CampaignList,
    CampaignReplacement,
    SimulatedBidsAnswer,
)


async def list_campaigns(call: Call) -> CampaignList:
    """List the company's campaigns; an operator's list has everybody's."""
    page = call.page()
    owner = None if call.is_operator else call.company_id
    found = await call.site.doors.registry.campaigns(owner, page.after, page.limit + 1)
    records, following = page.cut(list(found), lambda record: record.campaign.campaign_id)
    return CampaignList(items=tuple(show_campaign(r) for r in records), next=following)


async def create_campaign(call: Call) -> CampaignAnswer:
    """Create a campaign."""
    body = call.read(CampaignBody)
    company_id = await _owner(call, body)
    campaign = read_campaign(
        body, CampaignId(str(uuid7())), company_id, call.site.limits.max_buyers
    )
    return show_campaign(await _save(call, campaign, None))


async def get_campaign(call: Call) -> CampaignAnswer:
    """Show a campaign."""
    return show_campaign(await find_campaign(call))


async def get_bidder(call: Call) -> BidderAnswer:
    """Show how a campaign's own bidder is doing."""
    campaign = (await find_campaign(call)).campaign
    if campaign.bid.remote is None:
        raise NotFound("This campaign bids from a price list.")
    state = await call.site.doors.bidder_state(campaign.campaign_id)
    if state is None:
        state = BidderState(
            state="not_asked",
            probability=1.0,
            bids=0,
            reasons={},
            p50_ms=None,
            p99_ms=None,
            connections=0,
            waiting=0,
            workers=0,
        )
    told = asdict(state) | {"simulated": _show_simulated(state.simulated)}
    return BidderAnswer(campaign_id=campaign.campaign_id, **told)


def _show_simulated(simulated: SimulatedBids | None) -> SimulatedBidsAnswer | None:
    if simulated is None:
        return None
    return SimulatedBidsAnswer(
        bids=simulated.count,
        average=dollars(divide_half_even(simulated.total_cents, simulated.count)),
        last=dollars(simulated.last_cents),
        last_at=datetime.fromtimestamp(simulated.last_at, UTC),
    )


async def replace_campaign(call: Call) -> CampaignAnswer:
    """Replace a campaign; its company stays."""
    record, body = await find_campaign(call), call.read(CampaignReplacement)
    old = record.campaign
    for field, given, kept in (
        ("campaign_id", body.campaign_id, old.campaign_id),
        ("company_id", body.company_id, old.company_id),
    ):
        if given is not None and given != kept:
            raise Invalid(f"{field} cannot be changed.", field=field)
    campaign = read_campaign(body, old.campaign_id, old.company_id, call.site.limits.max_buyers)
    return show_campaign(await _save(call, campaign, old))


async def delete_campaign(call: Call) -> None:
    """Delete a campaign; offers it is part of still stand."""
    campaign = (await find_campaign(call)).campaign
    registry, now = call.site.doors.registry, call.site.doors.clock.now()
    if not await registry.delete_campaign(campaign.campaign_id, campaign.company_id, now):
        raise NotFound("There is no such campaign.")


async def _owner(call: Call, body: CampaignBody) -> CompanyId:
    """Whose the new campaign is: the caller's, or for an operator the company named."""
    if not call.is_operator:
        if body.company_id not in (None, call.company_id):
            raise Forbidden("A company creates its own campaigns only.", field="company_id")
        return call.company_id
    if body.company_id is None:
        raise Invalid("company_id is missing.", field="company_id", code="missing_field")
    if await call.site.doors.registry.account("company", body.company_id) is None:
        raise Invalid("There is no such company.", field="company_id")
    return CompanyId(body.company_id)


async def find_campaign(call: Call) -> CampaignRecord:
    """The campaign the path names, if it is the caller's. Raises NotFound."""
    campaign_id = CampaignId(call.id("campaign_id"))
    record = await call.site.doors.registry.campaign(campaign_id)
    if record is None or not (
        call.is_operator or record.campaign.company_id == call.who.subject_id
    ):
        raise NotFound("There is no such campaign.")
    return record


async def _save(call: Call, campaign: Campaign, old: Campaign | None) -> CampaignRecord:
    """Save a campaign that its vertical can evaluate, whose dialects work and URLs may be called.

    ``old`` is what it replaces, if anything.
    """
    doors = call.site.doors
    _check_time(campaign.bid.remote, call.site.limits.min_bidder_ms)
    vertical = call.site.reader(campaign.vertical).vertical
    try:
        doors.market.compile(campaign)
    except FilterError as error:
        message = f"{error.path} {error.message}."
        raise Invalid(message, field=error.path, code="invalid_filter") from None
    campaign = keep_secrets(campaign, old)
    campaign = await _check_places(call, campaign, vertical)
    if (desk := call.site.limits.desk) is not None:
        campaign = seal_secrets(campaign, desk.seal)
    record = await doors.registry.save_campaign(campaign, create=old is None, now=doors.clock.now())
    if record is None:
        raise NotFound("There is no such campaign.")
    return record


def _check_time(remote: Remote | None, least_ms: int) -> None:
    """Refuse a bidder that has too little time to be asked at all, ever."""
    if remote is not None and remote.timeout_ms < least_ms:
        message = f"bid.remote.timeout_ms is {remote.timeout_ms}; this exchange asks nobody that "
        raise Invalid(f"{message}has under {least_ms} ms.", field="bid.remote.timeout_ms")


async def _check_places(call: Call, campaign: Campaign, vertical: Vertical) -> Campaign:
    """Check where and how the company's systems are spoken to; gives a bidder its missing URL."""
    desk = call.site.limits.desk
    remote = campaign.bid.remote
    if remote is not None:
        url = remote.url
        if not remote.stream and desk is not None:
            with naming("bid.remote"):
                url = desk.check_bidder(remote, vertical)
        _need_desk(desk, remote.dialect or remote.preset, "bid.remote")
        await check_place(call, url, "bid.remote.url")
        if remote.url is None and url is not None:
            bid = replace(campaign.bid, remote=replace(remote, url=url))
            campaign = replace(campaign, bid=bid)
    for i, target in enumerate(campaign.delivery):
        at = f"delivery[{i}]"
        _need_desk(desk, target.dialect or target.preset or target.kind == "webhook", at)
        if target.kind == "email" and (desk is None or not desk.has_mail):
            message = "Delivery by mail is not set up on this exchange."
            raise Invalid(message, field=f"{at}.kind", code="not_available")
        url = target.url
        if desk is not None:
            with naming(at):
                url = desk.check_target(target, vertical)
        await check_place(call, url, f"{at}.url")
    return campaign


def _need_desk(desk: DialectDesk | None, spoken: object, at: str) -> None:
    if desk is None and spoken:
        message = "Dialects are not set up on this exchange."
        raise Invalid(message, field=at, code="not_available")


@contextmanager
def naming(at: str) -> Iterator[None]:
    """Make a fault of the caller's of a dialect's; ``at`` is where the dialect stands."""
    try:
        yield
    except DialectFault as fault:
        field = f"{at}.{fault.path}" if fault.path else at
        message = f"{field} {fault.message}."
        raise Invalid(message, field=field[:200], code="invalid_dialect") from None


async def check_place(call: Call, url: str | None, field: str) -> None:
    """Refuse a URL that requests may not go to. Raises Invalid."""
    check = call.site.limits.check_url
    if check is None or url is None:
        return
    # A stream's address is looked at as the page it would be.
    scheme, sign, rest = url.partition("://")
    checked = {"ws": "http", "wss": "https"}.get(scheme.lower(), scheme) + sign + rest
    if problem := await check(checked):
        raise Invalid(problem, field=field, code="url_refused")
