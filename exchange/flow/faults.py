"""What can go wrong through a caller's or a store's fault. The wire maps each to one problem."""

from __future__ import annotations

from exchange.core.reasons import Reason


class Fault(Exception):
    """A request that cannot be carried out; ``field`` names what is to be mended, if anything.

    ``code`` is permanent; ``details`` are further facts for the caller, never secrets.
    """

    code = "fault"

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        code: str | None = None,
        details: dict[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.code = code or type(self).code
        self.details = details or {}


class Invalid(Fault):
    """The request's content is wrong."""

    code = "invalid"


class NotFound(Fault):
    """There is no such thing, or it is not this caller's."""

    code = "not_found"


class Forbidden(Fault):
    """The caller is known, and may not do this."""

    code = "forbidden"


class Conflict(Fault):
    """The request contradicts what already happened."""

    code = "conflict"


class Gone(Fault):
    """What the request builds on has expired."""

    code = "gone"


class Unavailable(Fault):
    """The exchange cannot answer now: a store is away, or it is draining or overloaded."""

    code = "unavailable"

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


def because(
    reason: Reason, *, field: str | None = None, details: dict[str, object] | None = None
) -> Conflict:
    """A conflict for one of the numbered reasons."""
    return Conflict(reason.message, field=field, code=reason.code, details=details)


class LostLead(Exception):
    """Another worker took this lead over; its answer will come from there. Not a caller's fault."""
