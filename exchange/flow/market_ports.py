"""What keeping a worker's market true needs: its changes, told, heard, loaded and mended.

Implemented in `exchange.stores`. Every method that waits raises `faults.Unavailable` when its store
is away.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Protocol

from exchange.core.changes import CampaignChange, CompanyChange
from exchange.core.contract_book import ContractChange
from exchange.core.model import CompanyId
from exchange.core.trial_room import TrialUse

Change = CompanyChange | CampaignChange | ContractChange | TrialUse


class Mirror(Protocol):
    """The fast copy of windows and usage, and the word to other workers."""

    async def publish(self, change: Change) -> None:
        """Write a change and tell every worker; failure is kept and mended in the background."""
        ...


class MirrorCopy(Mirror, Protocol):
    """The mirror as it is mended: ``dirty`` companies could not be written when they changed."""

    dirty: set[CompanyId]

    async def behind(self, versions: Mapping[CompanyId, int]) -> list[CompanyId]:
        """The companies of which the mirror holds less than these versions."""
        ...

    async def run_id(self) -> str:
        """Changes when the fast store was started anew; then nothing it held can be trusted."""
        ...


class Feed(Protocol):
    """What other workers published."""

    subscribed: bool

    async def follow(
        self,
        apply: Callable[[Change], None],
        resubscribed: Callable[[], Awaitable[None]],
    ) -> None:
        """Apply every change as it comes, for ever; ``resubscribed`` after each subscription."""
        ...


class Snapshots(Protocol):
    """The market as the books have it, to load a worker and to mend what it missed."""

    async def companies(
        self, first: date, now: datetime, ids: Sequence[CompanyId] | None = None
    ) -> list[CompanyChange]:
        """Every company whole (or those named), with its buckets since ``first``."""
        ...

    async def campaigns(self, since_version: int) -> list[CampaignChange]:
        """Campaigns changed after a version; 0 gives all."""
        ...

    async def contracts(self, since_number: int) -> list[ContractChange]:
        """Contracts' versions recorded after a number, in their order; 0 gives all."""
        ...

    async def trial_uses(self, now: datetime) -> list[TrialUse]:
        """What every trial that has not ended has used."""
        ...

    async def trial_uses_within(self, within_s: float) -> list[TrialUse]:
        """What those trials have used that changed within the last ``within_s`` seconds."""
        ...

    async def versions(self, within_s: float) -> dict[CompanyId, int]:
        """The versions of companies that changed within the last ``within_s`` seconds."""
        ...
