"""Calls about connection tests: how a campaign's systems do, and testing them now (rules §12)."""

from __future__ import annotations

from msgspec.structs import asdict

from exchange.core.connections import Uptime
from exchange.core.model import Campaign
from exchange.core.money import percent_hundredths
from exchange.flow.connection_ports import ConnectionOutcome
from exchange.web.calls import Call
from exchange.web.campaigns import find_campaign
from exchange.web.wire import dollars
from exchange.web.wire_connections import (
    ConnectionAnswer,
    ConnectionList,
    ConnectionResult,
    ConnectionTestAnswer,
    ConnectionTestsBody,
    UptimeAnswer,
)


async def get_connections(call: Call) -> ConnectionList:
    """Show how a campaign's systems did in their connection tests."""
    return await _show(call, (await find_campaign(call)).campaign)


async def put_connections(call: Call) -> ConnectionList:
    """Have a campaign's systems tested unasked, or on request only."""
    campaign = (await find_campaign(call)).campaign
    body = call.read(ConnectionTestsBody)
    await call.site.doors.connections.opt_out(campaign.campaign_id, not body.enabled)
    return await _show(call, campaign)


async def ask_connection_test(call: Call) -> ConnectionTestAnswer:
    """Test every system of a campaign now, with a lead that says it is a test."""
    campaign = (await find_campaign(call)).campaign
    results = await call.site.doors.connections.test_now(campaign)
    return ConnectionTestAnswer(
        campaign_id=campaign.campaign_id, results=tuple(map(_result, results))
    )


async def _show(call: Call, campaign: Campaign) -> ConnectionList:
    desk = call.site.doors.connections
    states = await desk.states(campaign)
    is_out = await desk.is_out(campaign.campaign_id)
    return ConnectionList(
        campaign_id=campaign.campaign_id,
        enabled=bool(desk.every_s) and not is_out,
        every_s=int(desk.every_s),
        connections=tuple(
            ConnectionAnswer(
                target=state.place.target,
                kind=state.place.kind,
                tested=state.place.untested is None,
                failures=state.failures,
                successes=state.successes,
                last_24_h=_uptime(state.day),
                last_30_d=_uptime(state.month),
                last=tuple(map(_result, state.last)),
            )
            for state in states
        ),
    )


def _uptime(found: Uptime) -> UptimeAnswer:
    pct = dollars(percent_hundredths(found.passed, found.tests)) if found.tests else None
    return UptimeAnswer(**asdict(found), uptime_pct=pct)


def _result(result: ConnectionOutcome) -> ConnectionResult:
    return ConnectionResult(**asdict(result))
