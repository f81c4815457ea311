"""Whether and how far the market may move threshold and penalty (rules: §10)."""

from __future__ import annotations

from pathlib import Path

import pytest

from exchange.core.dynamic import Bounds, DynamicPolicy
from exchange.settings import SettingsError, read_settings


def read(directory: Path, text: str) -> DynamicPolicy:
    path = directory / "exchange.toml"
    path.write_text(text)
    return read_settings(path, {}).dynamic


def test_section_10_it_is_off_by_default(tmp_path: Path) -> None:
    assert read(tmp_path, "") == DynamicPolicy()
    assert DynamicPolicy().mode == "off"


def test_percents_and_dollars_become_basis_points_and_cents(tmp_path: Path) -> None:
    text = """
    [dynamic]
    mode = "shadow"
    market_max_pct = "7.5"
    seasonal_max_pct = 5
    trend_max_pct = "25"
    least_assigned = "250.50"
    """
    assert read(tmp_path, text) == DynamicPolicy(
        mode="shadow",
        bounds=Bounds(market_bp=750, seasonal_bp=500, trend_bp=2_500, least_cents=25_050),
    )


def test_section_10_a_trend_lets_off_a_quarter_at_most(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, '[dynamic]\ntrend_max_pct = "25.01"')
    (fault,) = caught.value.faults
    assert (fault.key, fault.allowed) == ("dynamic.trend_max_pct", '"0" to "25"')
