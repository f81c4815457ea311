"""Who is calling: the key of the Authorization header, and whether its holder may make this call.

Source: RFC 6750 (Bearer). Keys are looked up by the registry, which holds only their hashes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from exchange.core.reasons import Reason
from exchange.flow.faults import Forbidden
from exchange.flow.ports import Role
from exchange.flow.registry import Caller, Registry
from exchange.web.problems import Unauthenticated

_WITH_ARTICLE: Final[dict[Role, str]] = {
    "company": "a company",
    "operator": "an operator",
    "seller": "a seller",
}
KNOWN_HEADERS: Final = 1_024
"""Authorization headers remembered with the key in them: every ping of a seller has the same."""

_BEARER: Final = re.compile(r"bearer +([\x21-\x7e]{1,512}) *", re.IGNORECASE)


async def authenticate(headers: Mapping[str, str], registry: Registry) -> Caller:
    """The holder of the request's key. Raises Unauthenticated without a known one."""
    header = headers.get("Authorization")
    if header is None:
        raise Unauthenticated("A key is needed: Authorization: Bearer <key>.")
    key = read_key(header)
    caller = await registry.who(key) if key is not None else None
    if caller is None:
        raise Unauthenticated("This key is not known.")
    return caller


@lru_cache(maxsize=KNOWN_HEADERS)
def read_key(header: str) -> str | None:
    """The key in an Authorization header; None where there is none."""
    match = _BEARER.fullmatch(header)
    return match.group(1) if match else None


def authorise(caller: Caller, roles: frozenset[Role], *, sells: bool = False) -> None:
    """Check that the caller's role is one of those, and a seller not blocked. Raises Forbidden.

    ``sells`` marks a call that brings a new lead; what was sold before may still be looked at.
    """
    if caller.role not in roles:
        wanted = " or ".join(_WITH_ARTICLE[role] for role in sorted(roles))
        raise Forbidden(f"This call is for {wanted}; this key is of {_WITH_ARTICLE[caller.role]}.")
    if sells and not caller.active:
        reason = Reason.SELLER_INACTIVE
        raise Forbidden(reason.message, code=reason.code)
