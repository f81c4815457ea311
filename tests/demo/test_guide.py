"""What the served demo market prints."""

from __future__ import annotations

import io
import subprocess

from rich.console import Console

from exchange.demo.guide import describe
from exchange.demo.model import DemoAccount, DemoMarket

MARKET = DemoMarket(
    operator_key="ok_operator",
    seller=DemoAccount(name="Lead Source West", id="s-1", api_key="sk_seller"),
    companies=(
        DemoAccount(name="Sunny Roofs", id="c-1", api_key="ck_sunny"),
        DemoAccount(name="Desert Sun Solar", id="c-2", api_key="ck_desert"),
    ),
)
GUIDE = describe(MARKET, "http://127.0.0.1:8080")


def test_it_says_where_to_look_and_with_which_keys() -> None:
    for page in ("healthz", "readyz", "metrics", "openapi.json"):
        assert f"  http://127.0.0.1:8080/{page}\n" in GUIDE
    assert "http://127.0.0.1:8080/v1/companies/c-1/standing" in GUIDE
    for key in ("ok_operator", "sk_seller", "ck_sunny", "ck_desert"):
        assert key in GUIDE


def test_its_lines_are_a_plain_shells() -> None:
    lines = [line for line in GUIDE.splitlines() if line.startswith(("P", "LEAD_ID", "curl"))]
    assert len(lines) == 8
    checked = subprocess.run(["sh", "-n"], input="\n".join(lines), text=True, timeout=5)
    assert checked.returncode == 0


def test_a_console_prints_it_as_it_is() -> None:
    out = io.StringIO()
    Console(file=out, highlight=False, soft_wrap=True, width=80).print(GUIDE)
    assert out.getvalue() == GUIDE + "\n"
