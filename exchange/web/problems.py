"""Faults into HTTP: the one place where a fault gets its status, headers and problem document.

Source: RFC 9457 (problem details), RFC 9110 (401 with WWW-Authenticate, 405 with Allow).
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from exchange.flow.faults import Conflict, Fault, Forbidden, Gone, Invalid, NotFound, Unavailable
from exchange.web.wire import JSON, Problem

PROBLEM_TYPE: Final = "application/problem+json"


class WireFault(Fault):
    """A fault of the request's form rather than of its content."""

    status = 400

    def __init__(
        self,
        message: str,
        *,
        headers: dict[str, str] | None = None,
        details: dict[str, object] | None = None,
    ) -> None:
        super().__init__(message, details=details)
        self.headers = headers or {}


class Malformed(WireFault):
    """The body or the query cannot be read at all."""

    code = "malformed"


class Unauthenticated(WireFault):
    """There is no key, or nobody has this one."""

    code = "unauthenticated"
    status = 401

    def __init__(self, message: str) -> None:
        super().__init__(message, headers={"WWW-Authenticate": 'Bearer realm="exchange"'})


class WrongMethod(WireFault):
    """The path is known, and not for this method."""

    code = "method_not_allowed"
    status = 405

    def __init__(self, message: str, *, allow: str) -> None:
        super().__init__(message, headers={"Allow": allow})


class TooSlow(WireFault):
    """The body did not arrive in time."""

    code = "body_too_slow"
    status = 408


class TooLarge(WireFault):
    """The body is larger than is taken."""

    code = "body_too_large"
    status = 413


class WrongMedia(WireFault):
    """The body is of a type or encoding that is not read here."""

    code = "unsupported_media_type"
    status = 415


FAULT_STATUS: Final[dict[type[Fault], int]] = {
    Invalid: 422,
    NotFound: 404,
    Forbidden: 403,
    Conflict: 409,
    Gone: 410,
    Unavailable: 503,
}
"""The status of each kind of fault the flows raise."""


def status_of(fault: Fault) -> int:
    """The HTTP status of a fault; 500 for a kind nobody gave one."""
    if isinstance(fault, WireFault):
        return fault.status
    for kind in type(fault).__mro__:
        if status := FAULT_STATUS.get(kind):
            return status
    return 500


def headers_of(fault: Fault) -> dict[str, str]:
    """The headers a fault's answer carries besides its type."""
    if isinstance(fault, WireFault):
        return fault.headers
    if isinstance(fault, Unavailable):
        return {"Retry-After": str(max(1, fault.retry_after_s))}
    return {}


def describe(fault: Fault) -> bytes:
    """Write a fault as a problem document."""
    return _encode(status_of(fault), fault.code, fault.message, fault)


def describe_incident(incident: str) -> bytes:
    """Write an unexpected failure as a problem that tells nothing but the id it is logged under."""
    message = "The exchange failed to answer; the failure was logged under this incident."
    return _encode(500, "internal", message, None, incident)


def _encode(
    status: int, code: str, message: str, fault: Fault | None, incident: str | None = None
) -> bytes:
    return JSON.encode(
        Problem(
            type=f"urn:exchange:problem:{code}",
            title=HTTPStatus(status).phrase,
            status=status,
            detail=message,
            code=code,
            field=fault.field if fault is not None else None,
            details=(fault.details or None) if fault is not None else None,
            incident=incident,
        )
    )
