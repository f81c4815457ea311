"""Calls about alerts: what is to be looked at, and who is told of it (rules §12)."""

from __future__ import annotations

from typing import Final, get_args

from msgspec.structs import asdict

from exchange.core.alert_kinds import COMPANY_KINDS, MANNERS, AlertKind
from exchange.core.alert_terms import OPERATOR, AlertSettings
from exchange.core.model import CompanyId
from exchange.flow.alert_ports import AlertRecord
from exchange.flow.alerting import tell_alert
from exchange.flow.faults import Conflict, Invalid, NotFound
from exchange.web.calls import Call
from exchange.web.campaigns import check_place
from exchange.web.contacts import normalise_email
from exchange.web.queries import Asked
from exchange.web.wire import cents, dollars
from exchange.web.wire_alerts import (
    AlertAnswer,
    AlertKindAnswer,
    AlertKindList,
    AlertList,
    AlertSettingsAnswer,
    AlertSettingsBody,
    AlertStateName,
    AlertTerms,
    TrialNotices,
)

_STATES: Final[dict[str, AlertStateName]] = {state: state for state in get_args(AlertStateName)}

LIST_ASKED: Final = (
    Asked(
        name="state",
        meaning="Only alerts of this state",
        shape={"type": "string", "enum": list(_STATES)},
    ),
)


async def list_alerts(call: Call) -> AlertList:
    """List alerts, the newest first: a company's own, for an operator everybody's."""
    page = call.page()
    given = call.query.get("state")
    state = None if given is None else _STATES.get(given)
    if given is not None and state is None:
        raise Invalid(f"state is one of {', '.join(_STATES)}.", field="state")
    owner = None if call.is_operator else call.company_id
    found = await call.site.doors.alerts.alerts(owner, state, page.after, page.limit + 1)
    alerts, following = page.cut(list(found), lambda alert: alert.alert_id)
    return AlertList(items=tuple(map(_show, alerts)), next=following)


async def get_alert(call: Call) -> AlertAnswer:
    """Show an alert."""
    return _show(await _find(call))


async def acknowledge_alert(call: Call) -> AlertAnswer:
    """Acknowledge an alert, so that it sends no more reminders."""
    alert, doors = await _find(call), call.site.doors
    done = await doors.alerts.acknowledge(
        alert.alert_id, call.who.subject_id, doors.clock.now()
    )  # fmt: skip
    if done is None:
        raise Conflict("This alert is over: there is nothing to acknowledge.", code="alert_over")
    return _show(done)


async def list_kinds(call: Call) -> AlertKindList:
    """List the kinds of alerts."""
    kinds = tuple(AlertKind) if call.is_operator else COMPANY_KINDS
    return AlertKindList(
        items=tuple(
            AlertKindAnswer(
                code=kind,
                severity=MANNERS[kind].severity,
                title=MANNERS[kind].title,
                meaning=MANNERS[kind].meaning,
                momentary=MANNERS[kind].momentary,
            )
            for kind in kinds
        )
    )


async def get_settings(call: Call) -> AlertSettingsAnswer:
    """Show how the operator is alerted, and the thresholds of companies that set none."""
    return await _show_settings(call, OPERATOR)


async def put_settings(call: Call) -> AlertSettingsAnswer:
    """Set how the operator is alerted, and the thresholds of companies that set none."""
    return await _save_settings(call, OPERATOR)


async def try_settings(call: Call) -> TrialNotices:
    """Send a trial notice every way the operator is alerted."""
    return await _try(call, OPERATOR)


async def get_company_settings(call: Call) -> AlertSettingsAnswer:
    """Show how a company is alerted."""
    return await _show_settings(call, await _company(call))


async def put_company_settings(call: Call) -> AlertSettingsAnswer:
    """Set how a company is alerted."""
    return await _save_settings(call, await _company(call))


async def try_company_settings(call: Call) -> TrialNotices:
    """Send a trial notice every way a company is alerted."""
    return await _try(call, await _company(call))


async def _find(call: Call) -> AlertRecord:
    """The alert the path names, if it is the caller's. Raises NotFound."""
    alert = await call.site.doors.alerts.alert(call.id("alert_id"))
    if alert is None or not (
        call.is_operator
        or (alert.company_id == call.who.subject_id and alert.kind in COMPANY_KINDS)
    ):
        raise NotFound("There is no such alert.")
    return alert


async def _company(call: Call) -> CompanyId:
    company_id = call.own_company("company_id")
    if await call.site.doors.registry.account("company", company_id) is None:
        raise NotFound("There is no such company.")
    return company_id


async def _save_settings(call: Call, receiver: str) -> AlertSettingsAnswer:
    body, doors = call.read(AlertSettingsBody), call.site.doors
    if body.emails and (call.site.limits.desk is None or not call.site.limits.desk.has_mail):
        message = "Mail is not set up on this exchange."
        raise Invalid(message, field="emails", code="not_available")
    emails = [normalise_email(email, f"emails[{i}]") for i, email in enumerate(body.emails)]
    for i, kind in enumerate(body.kinds or ()):
        if receiver != OPERATOR and kind not in COMPANY_KINDS:
            raise Invalid(f"kinds[{i}] is the operator's alone.", field=f"kinds[{i}]")
    if body.webhook_url is not None:
        await check_place(call, body.webhook_url, "webhook_url")
    settings = AlertSettings(
        near_pct=body.near_pct,
        cap_pct=body.cap_pct,
        balance_low_cents=None
        if body.balance_low is None
        else cents(body.balance_low, "balance_low"),
        crm_rejections=body.crm_rejections,
        bidder_error_pct=body.bidder_error_pct,
        reminder_hours=body.reminder_hours,
        webhook_url=body.webhook_url,
        emails=tuple(dict.fromkeys(emails)),
        kinds=None if body.kinds is None else tuple(dict.fromkeys(body.kinds)),
        recoveries=body.recoveries,
    )
    await doors.alerts.save_settings(receiver, settings, doors.clock.now())
    return await _show_settings(call, receiver)


async def _show_settings(call: Call, receiver: str) -> AlertSettingsAnswer:
    desk = call.site.doors.alerts
    given = await desk.settings(receiver) or AlertSettings()
    terms = await desk.terms(None if receiver == OPERATOR else CompanyId(receiver))
    low = given.balance_low_cents
    return AlertSettingsAnswer(
        receiver=receiver,
        webhook_url=given.webhook_url,
        emails=given.emails,
        kinds=given.kinds,
        recoveries=given.recoveries,
        near_pct=given.near_pct,
        cap_pct=given.cap_pct,
        balance_low=None if low is None else dollars(low),
        crm_rejections=given.crm_rejections,
        bidder_error_pct=given.bidder_error_pct,
        reminder_hours=given.reminder_hours,
        terms=AlertTerms(
            near_pct=terms.near_pct,
            cap_pct=terms.cap_pct,
            balance_low=dollars(terms.balance_low_cents),
            crm_rejections=terms.crm_rejections,
            bidder_error_pct=terms.bidder_error_pct,
            reminder_hours=terms.reminder_hours,
        ),
        signing_secret=desk.secret(receiver),
    )


async def _try(call: Call, receiver: str) -> TrialNotices:
    doors = call.site.doors
    return TrialNotices(notices=await doors.alerts.try_out(receiver, doors.clock.now()))


def _show(alert: AlertRecord) -> AlertAnswer:
    """An alert as its notices have it, and who has seen it."""
    return AlertAnswer(
        **asdict(tell_alert(alert)),
        acknowledged_at=alert.acknowledged_at,
        acknowledged_by=alert.acknowledged_by,
    )
