"""The companies' CRMs, run as a process of their own, and told over HTTP how to behave."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import aiohttp

from exchange.demo.faults import DemoFailed

READY_S: Final = 20.0
"""Longest the CRM server may take until it listens; it takes about one second."""

STOP_S: Final = 5.0
POLL_S: Final = 0.02
CALL_S: Final = 5.0


@contextmanager
def start_crms(options: Sequence[str] = ()) -> Iterator[dict[str, str]]:
    """Run the CRM server for as long as the context lasts; gives where each CRM takes its leads.

    ``options`` are further ones of ``python -m bidders serve``. Raises DemoFailed if it does not
    come up.
    """
    with TemporaryDirectory(prefix="exchange-crms-") as folder:
        ready_file, said = Path(folder) / "ready.json", Path(folder) / "said"
        command = [sys.executable, "-m", "bidders", "serve", "--port", "0"]
        command += ["--ready-file", str(ready_file), "--parent-pid", str(os.getpid()), *options]
        with said.open("wb") as log:
            # A session of its own: a Ctrl-C in the terminal is for us, and we stop it in order.
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield _await_ready(process, ready_file, said)
        finally:
            _stop(process)


def _await_ready(process: subprocess.Popen[bytes], ready_file: Path, said: Path) -> dict[str, str]:
    deadline = time.monotonic() + READY_S
    while not ready_file.exists():
        if process.poll() is not None:
            words = said.read_text("utf-8", errors="replace").strip()[-500:] or "nothing"
            raise DemoFailed(
                f"the CRM server ended at once with {process.returncode}; it said: {words}"
            )
        if time.monotonic() > deadline:
            raise DemoFailed(f"the CRM server did not come up within {READY_S:.0f} s")
        time.sleep(POLL_S)
    crms: dict[str, str] = json.loads(ready_file.read_bytes())["crms"]
    return crms


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class CrmControl:
    """Changes how running CRMs behave."""

    def __init__(self, session: aiohttp.ClientSession, urls: Mapping[str, str]) -> None:
        self._session = session
        self._urls = urls

    async def set_down(self, name: str, down: bool) -> None:
        """Let a CRM answer every delivery with 500 from now on, or take them all again."""
        await self._put(name, {"fail_rate": 1 if down else 0, "failure": "500"})

    async def _put(self, name: str, behaviour: dict[str, Any]) -> None:
        url = self._urls[name].removesuffix("/leads")
        timeout = aiohttp.ClientTimeout(total=CALL_S)
        try:
            async with self._session.put(url, json=behaviour, timeout=timeout) as answer:
                if answer.status >= 300:
                    raise DemoFailed(
                        f"the CRM {name} answered {answer.status} to its new behaviour"
                    )
        except (aiohttp.ClientError, TimeoutError) as error:
            raise DemoFailed(f"the CRM server is away ({type(error).__name__})") from None
