"""What can go wrong with the demo, for the person who started it."""

from __future__ import annotations

from exchange.flow.faults import Fault


class DemoFailed(Fault):
    """The demo cannot go on; says why, and what would help."""

    code = "demo_failed"
