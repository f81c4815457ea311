"""Whether an email address looks like a person's own, from its words alone.

Its syntax is the wire's to refuse. Nothing is asked of the domain: whether a mailbox exists is
known when a mail has arrived.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Final

from exchange.core.quality.disposable import DISPOSABLE_DOMAINS
from exchange.core.quality.flaws import Flaw, flaw

_ROLES: Final = """
abuse accounting accounts admin administrator billing careers compliance contact customerservice
enquiries feedback finance help helpdesk hello hostmaster hr info inquiries it jobs legal mail
mailer-daemon marketing media noc no-reply noreply notifications office orders postmaster press
privacy purchasing recruiting reception root sales security service staff subscribe support team
tech unsubscribe usenet webmaster
"""
ROLES: Final = frozenset(_ROLES.split())
"""Names of mailboxes that are a function's, not a person's."""

_NOWHERE: Final = frozenset({"test", "example", "invalid", "localhost", "local", "internal"})
"""Top domains that no mail can be sent to (RFC 2606, RFC 6761, RFC 6762)."""

_EXAMPLES: Final = frozenset({"example.com", "example.net", "example.org", "example.edu"})

LONGEST_LOCAL: Final = 64
"""Octets in front of the @ at most (RFC 5321, section 4.5.3.1.1)."""

_MADE_UP: Final = frozenset(
    {"asdf", "asdfasdf", "fake", "na", "nobody", "noemail", "none", "nope", "notreal", "test"}
)


def email_flaws(email: str, more_disposable: Set[str] = frozenset()) -> list[Flaw]:
    """What is wrong with an address; ``more_disposable`` are the operator's own such domains."""
    local, _, domain = email.strip().lower().rpartition("@")
    domain = domain.rstrip(".")
    found = []
    if _goes_nowhere(local, domain):
        found.append(flaw("email_undeliverable", "No mail can be meant for this address."))
    if is_disposable(domain, more_disposable):
        found.append(flaw("email_disposable", "The address is of a service of throw-away mail."))
    if local.partition("+")[0] in ROLES:
        found.append(flaw("email_role", "The address is a function's, not a person's."))
    return found


def is_disposable(domain: str, more: Set[str] = frozenset()) -> bool:
    """Whether a domain, or one that it lies below, gives addresses to anybody for minutes."""
    while "." in domain:
        if domain in DISPOSABLE_DOMAINS or domain in more:
            return True
        domain = domain.partition(".")[2]
    return False


def _goes_nowhere(local: str, domain: str) -> bool:
    name, dot, top = domain.rpartition(".")
    if not dot or top in _NOWHERE or domain in _EXAMPLES:
        return True
    # No top domain has one letter, or digits alone.
    if len(top) < 2 or top.isdigit() or len(local.encode(errors="replace")) > LONGEST_LOCAL:
        return True
    if any(domain.endswith(f".{example}") for example in _EXAMPLES):
        return True
    return local in _MADE_UP and name == local
