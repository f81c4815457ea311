"""What the exchange logs of what goes wrong beside its answers: the ends of flows' callbacks."""

from __future__ import annotations

import structlog

from exchange.core.model import LeadId
from exchange.flow.ports import Answer, Parcel

log = structlog.get_logger()


def tell_failed_step(name: str, error: BaseException) -> None:
    """A step in the background failed; it will be made again."""
    log.warning("loop failed", loop=name, error=_name(error))


def tell_unwritten_receipts(error: BaseException) -> None:
    """Receipts could not be written."""
    log.error("receipts refused", error=type(error).__name__)


def tell_uncopied_list(number: int, error: BaseException) -> None:
    """A suppression list's copy missed a change; it will be mended."""
    log.warning("suppression list not copied", list=number, error=str(error))


def tell_unfit(campaign_id: str, problem: str) -> None:
    """A campaign does not fit its vertical as it is now, and does not bid."""
    log.warning("campaign does not fit its vertical", campaign_id=campaign_id, problem=problem)


def tell_incident(parcel: Parcel, kind: str, answer: Answer) -> None:
    """A company's system failed a delivery."""
    log.warning(
        "delivery failed",
        delivery_id=parcel.delivery_id,
        campaign_id=parcel.campaign_id,
        kind=kind,
        result=answer.result,
        reason=answer.reason.code if answer.reason else None,
        detail=answer.detail,
    )


def tell_stranded(lead_id: LeadId, error: BaseException) -> None:
    """A lead could not be gone on with; it will be looked at again."""
    log.error("lead stranded", lead_id=lead_id, error=_name(error))


def tell_failed_notice(receiver: str, problem: str) -> None:
    """A notice was given up."""
    log.error("notice given up", receiver=receiver, problem=problem)


def _name(error: BaseException) -> str:
    told = f"{type(error).__name__}: {error}"
    # What a caller is told of a store that is away leaves out what a log is to have.
    cause = error.__cause__
    return told if cause is None else f"{told} ({type(cause).__name__})"
