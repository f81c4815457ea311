"""`exchange demo`: the published table out of a month of real sales; nothing is left behind."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from rich.console import Console

from exchange.demo import month
from exchange.settings import Settings

LIVE: Final = (
    "from exchange.demo.month import run_demo; from exchange.settings import Settings; "
    "raise SystemExit(run_demo(Settings()))"
)
PATIENCE_S: Final = 60


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder for the demo alone, open to the servers' account."""
    folder = Path(tempfile.mkdtemp(prefix="exchange-month-"))
    folder.chmod(0o755)
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield folder
    monkeypatch.setattr(tempfile, "tempdir", None)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_a_month_of_real_sales_ends_in_the_published_table(temporary: Path) -> None:
    out = io.StringIO()
    assert month.run_demo(Settings(), console=Console(file=out, width=104)) == 0, out.getvalue()
    told = out.getvalue()
    assert len(re.findall(r"^2026-11-\d\d ", told, re.MULTILINE)) == 30
    for row in (
        r"Sunny Roofs .* 2\.1 % +0\.3 % +qualified +\$97\.90 +\$97\.90",
        r"Desert Sun Solar .* 8\.5 % +3\.2 % +conditional +\$91\.50 +\$91\.50",
        r"Gulf Coast Energy .* 18\.7 % +12\.4 % +excluded +\(\$81\.30\) +no_bid crm_gate",
    ):
        assert re.search(row, told), row
    assert "now they all count, and it is excluded" in told
    assert "Sunny Roofs bid $100.00; 2.10 % of what it bought was rejected" in told
    assert "Gulf Coast Energy did not bid" in told
    assert "Its winner follows from it alone" in told
    assert "which sum to $0.00; 0 findings" in told
    assert list(temporary.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_an_interrupted_month_leaves_nothing(temporary: Path, number: signal.Signals) -> None:
    given = {k: v for k, v in os.environ.items() if not k.startswith("EXCHANGE_")}
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", LIVE],
        env=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("2026-11-03"):
            break
    process.send_signal(number)
    _, wrong = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130 and not wrong, wrong
    assert list(temporary.iterdir()) == []


def test_a_month_that_cannot_take_place_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    stores = Settings().stores.__class__(
        postgres_url="postgresql://127.0.0.1:1/x", redis_url="redis://127.0.0.1:1"
    )
    settings = Settings(stores=stores)
    assert month.run_demo(settings, console=Console(file=io.StringIO())) == 1
    assert capsys.readouterr().err == "exchange demo: Redis does not answer (ConnectionError)\n"
