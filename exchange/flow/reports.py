"""Reports as the wire asks for them: rows by the batch, so that none is ever whole in memory.

Implemented in `exchange.stores`. What may be asked, and by whom, is in `core.reports`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from exchange.core.report_rows import Row
from exchange.core.reports import ReportAsk


class Reports(Protocol):
    """Reads reports."""

    def rows(self, ask: ReportAsk) -> AsyncGenerator[list[Row], None]:
        """The rows of a report, in batches, in their order; to be closed by whoever stops early.

        Raises Invalid where there would be more than `MAX_ROWS`, Unavailable where too many
        reports are read already or the store is away; both before the first batch.
        """
        ...
