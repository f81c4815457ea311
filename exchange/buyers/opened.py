"""What is opened in the loop that uses it, and closed: as a context, or by its two words."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Opened(ABC):
    """Usable between `start` and `close`; as a context it does both."""

    @abstractmethod
    async def start(self) -> None:
        """Open what is needed; must run in the loop that will use it."""

    @abstractmethod
    async def close(self) -> None:
        """Close every connection. Safe to repeat."""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
