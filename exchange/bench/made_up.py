"""Made-up pings for any vertical, drawn from what an exchange itself says of its attributes.

They are marked as tests, so that no company is charged should one be posted.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any, Final

OPTIONAL: Final = 0.8
"""Share of pings that have an optional attribute: sellers know most of it of most leads."""

DEFAULT_MOST: Final = 10_000
"""The largest number drawn for an attribute that has no bound of its own."""


def ping_bodies(vertical: dict[str, Any], count: int, seed: int = 1) -> Iterator[bytes]:
    """Bodies of pings; ``vertical`` is one of `GET /v1/verticals`."""
    draw = random.Random(seed)
    specs: dict[str, dict[str, Any]] = vertical["attributes"]
    for _ in range(count):
        attributes = {
            name: _value(spec, draw)
            for name, spec in specs.items()
            if spec.get("required") or draw.random() < OPTIONAL
        }
        body = {
            "vertical": vertical["name"],
            "attributes": attributes,
            "contact_hashes": {
                "phone": draw.randbytes(32).hex(),
                "email": draw.randbytes(32).hex(),
            },
            "source": {"sub_id": f"bench-{draw.randint(1, 99)}"},
            "consent": {"trustedform_url": f"https://cert.example/{draw.randbytes(20).hex()}"},
            "test": True,
        }
        yield json.dumps(body).encode()


def _value(spec: dict[str, Any], draw: random.Random) -> object:
    kind = spec["kind"]
    if allowed := spec.get("allowed"):
        return draw.choice(allowed)
    least, most = spec.get("min") or 0, spec.get("max")
    most = max(least, DEFAULT_MOST) if most is None else most
    if kind == "integer":
        return draw.randint(int(least), int(most))
    if kind == "decimal":
        return round(draw.uniform(least, most), 2)
    if kind == "boolean":
        return draw.random() < 0.5
    if kind == "zip":
        return f"{draw.randint(501, 99_950):05d}"
    return "bench"
