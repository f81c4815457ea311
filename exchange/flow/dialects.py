"""What saving a campaign needs of dialects: to be checked, sealed, shown and tried out.

The values and the protocol; implemented in `exchange.buyers`. Source: rules §3.1 (a ping is
anonymous, so a dialect that names contact data on it is refused when it is saved).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from msgspec import Raw, Struct

from exchange.core.dialect import Dialect
from exchange.core.model import Campaign, DeliveryTarget
from exchange.core.reasons import Reason
from exchange.core.remote import Remote
from exchange.core.verticals import Vertical
from exchange.flow.ports import Contact


class DialectFault(ValueError):
    """A dialect that cannot be used; ``path`` is the place below the target's or bidder's own."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path} {message}".strip())
        self.path = path
        self.message = message


class PresetParameter(Struct, frozen=True, kw_only=True):
    """Something a preset has to know; without a default it must be given."""

    name: str
    description: str
    default: str | None


class PresetShown(Struct, frozen=True, kw_only=True):
    """A preset, as companies choose it. ``dialect`` has its places as ``${name}``, in JSON."""

    name: str
    title: str
    description: str
    used_for: tuple[str, ...]
    params: tuple[PresetParameter, ...]
    secrets: tuple[PresetParameter, ...]
    dialect: Raw


class TrialLead(Struct, frozen=True, kw_only=True):
    """A made-up lead to try a dialect with. ``attributes`` is a JSON object, cents are whole."""

    attributes: Raw
    contact: Contact
    share: int = 1
    price_cents: int
    token: str | None = None


class SeenAnswer(Struct, frozen=True, kw_only=True):
    """An answer of a company's system: given for a trial, or really come."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


class SeenRequest(Struct, frozen=True, kw_only=True):
    """A request as it goes out, secrets masked; a mail's method is MAIL, its URL a mailto."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


Result = Literal["bid", "no_bid", "accepted", "refused", "failed", "unclear"]


class Understood(Struct, frozen=True, kw_only=True):
    """What an answer came to. ``result`` is bid or no_bid on a ping, an attempt's on a post."""

    result: Result
    price_cents: int | None = None
    token: str | None = None
    reason: Reason | None = None
    reference: str | None = None
    redirect_url: str | None = None
    detail: str | None = None


class Trial(Struct, frozen=True, kw_only=True):
    """A dialect tried out. ``dialect`` is the whole of it, presets filled in and secrets masked."""

    dialect: Dialect | None
    request: SeenRequest | None
    answer: SeenAnswer | None
    understood: Understood | None


class DialectDesk(Protocol):
    """Everything about dialects that somebody who saves a campaign can ask for."""

    @property
    def has_mail(self) -> bool:
        """Whether leads can be delivered by mail here."""
        ...

    def presets(self) -> Sequence[PresetShown]:
        """Every preset."""
        ...

    def check_bidder(self, remote: Remote, vertical: Vertical) -> str:
        """Check how a bidder is spoken to; gives a URL with the scheme and host it is asked at.

        Raises DialectFault, also where it cannot be written for a lead of the vertical.
        """
        ...

    def check_target(self, target: DeliveryTarget, vertical: Vertical) -> str | None:
        """Check how a target is spoken to, as `check_bidder`; None where there is no URL."""
        ...

    def seal(self, secret: str) -> str:
        """Encrypt a secret for keeping; one that is sealed stays as it is."""
        ...

    def sample(self, vertical: Vertical) -> TrialLead:
        """A made-up lead of a vertical."""
        ...

    async def try_bidder(
        self,
        campaign: Campaign,
        remote: Remote,
        lead: TrialLead,
        answer: SeenAnswer | None,
        *,
        send: bool,
    ) -> Trial:
        """Show how a bidder would be asked, and what an answer (or its real one) comes to."""
        ...

    async def try_target(
        self,
        campaign: Campaign,
        target: DeliveryTarget,
        lead: TrialLead,
        answer: SeenAnswer | None,
        *,
        send: bool,
    ) -> Trial:
        """Show how a lead would be handed over, and what an answer (or the real one) comes to."""
        ...
