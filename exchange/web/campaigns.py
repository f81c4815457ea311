"""Calls about campaigns: a company's own, and for an operator anybody's."""

from __future__ import annotations

from typing import TypeVar

from uuid_utils import uuid7

from exchange.core.filters import FilterError
from exchange.core.model import Campaign, CampaignId, CompanyId
from exchange.flow.faults import Forbidden, Invalid, NotFound
from exchange.flow.registry import CampaignRecord
from exchange.web.calls import Call
from exchange.web.campaign_codec import read_campaign, show_campaign
from exchange.web.wire_campaigns import (
    CampaignAnswer,
    CampaignBody,
    CampaignList,
    CampaignReplacement,
)

B = TypeVar("B", bound=CampaignBody)


async def list_campaigns(call: Call) -> CampaignList:
    """List the company's campaigns; an operator's list has everybody's."""
    page = call.page()
    owner = None if call.is_operator else call.company_id
    found = await call.site.doors.registry.campaigns(owner, page.after, page.limit + 1)
    records, following = page.cut(list(found), lambda record: record.campaign.campaign_id)
    return CampaignList(items=tuple(show_campaign(r) for r in records), next=following)


async def create_campaign(call: Call) -> CampaignAnswer:
    """Create a campaign."""
    body = _read(call, CampaignBody)
    company_id = await _owner(call, body)
    campaign = read_campaign(
        body, CampaignId(str(uuid7())), company_id, call.site.limits.max_buyers
    )
    return show_campaign(await _save(call, campaign, create=True))


async def get_campaign(call: Call) -> CampaignAnswer:
    """Show a campaign."""
    return show_campaign(await _find(call))


async def replace_campaign(call: Call) -> CampaignAnswer:
    """Replace a campaign; its company stays."""
    record, body = await _find(call), _read(call, CampaignReplacement)
    old = record.campaign
    for field, given, kept in (
        ("campaign_id", body.campaign_id, old.campaign_id),
        ("company_id", body.company_id, old.company_id),
    ):
        if given is not None and given != kept:
            raise Invalid(f"{field} cannot be changed.", field=field)
    campaign = read_campaign(body, old.campaign_id, old.company_id, call.site.limits.max_buyers)
    return show_campaign(await _save(call, campaign, create=False))


async def delete_campaign(call: Call) -> None:
    """Delete a campaign; offers it is part of still stand."""
    campaign = (await _find(call)).campaign
    registry, now = call.site.doors.registry, call.site.doors.clock.now()
    if not await registry.delete_campaign(campaign.campaign_id, campaign.company_id, now):
        raise NotFound("There is no such campaign.")


def _read(call: Call, kind: type[B]) -> B:
    try:
        return call.read(kind)
    except Invalid as fault:
        if fault.field == "bid.remote":
            raise Invalid(
                "Remote bidders are not available yet; give a price list.",
                field="bid.remote",
                code="not_available",
            ) from None
        raise


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


async def _find(call: Call) -> CampaignRecord:
    campaign_id = CampaignId(call.id("campaign_id"))
    record = await call.site.doors.registry.campaign(campaign_id)
    if record is None or not (
        call.is_operator or record.campaign.company_id == call.who.subject_id
    ):
        raise NotFound("There is no such campaign.")
    return record


async def _save(call: Call, campaign: Campaign, *, create: bool) -> CampaignRecord:
    """Save a campaign that its vertical can evaluate and whose URLs may be called."""
    doors = call.site.doors
    call.site.reader(campaign.vertical)
    try:
        doors.market.compile(campaign)
    except FilterError as error:
        message = f"{error.path} {error.message}."
        raise Invalid(message, field=error.path, code="invalid_filter") from None
    if check_url := call.site.limits.check_url:
        for i, target in enumerate(campaign.delivery):
            if target.url is not None and (problem := await check_url(target.url)):
                raise Invalid(problem, field=f"delivery[{i}].url", code="url_refused")
    record = await doors.registry.save_campaign(campaign, create=create, now=doors.clock.now())
    if record is None:
        raise NotFound("There is no such campaign.")
    return record
