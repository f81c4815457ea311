"""Runs a guide as its reader would: every block to be typed, in order, in one shell.

In a guide ``sh`` blocks are typed. A line ``# answers 409`` says that the request behind it is
refused with that status; every other request must succeed. A ``json`` block right behind a block
shows its last answer: what it names must be there and be so, an ``…`` in a text stands for
anything and at a list's end for other rows among those shown; times are told apart by nothing.
"""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

RUN_LIMIT_S: Final = 60.0
_ROOT: Final = Path(__file__).parents[2]
_BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_STATUS: Final = re.compile(r"^(\s*)# answers (\d{3})$", re.MULTILINE)

_PRELUDE: Final = r"""
set -Eeuo pipefail
trap 'echo "block $BLOCK: $BASH_COMMAND" >&2' ERR
curl() {
  local number expected=2 code=0
  number=$(ls "$RUN" | wc -l)
  if [ -e "$RUN.expected" ]; then expected=$(cat "$RUN.expected"); rm "$RUN.expected"; fi
  mkdir "$RUN/$number"
  printf '%s\n' "$@" > "$RUN/$number/asked"
  printf '%s %s ' "$BLOCK" "$expected" > "$RUN/$number/status"
  command curl "$@" -o "$RUN/$number/answer" -w '%{http_code} %{method}' \
    >> "$RUN/$number/status" || code=$?
  cat "$RUN/$number/answer" 2>/dev/null || true
  return $code
}
"""


class Block(Struct, frozen=True, kw_only=True):
    """A block to be typed, the line it begins in, and the answer shown behind it."""

    line: int
    text: str
    shown: Any = None


class Request(Struct, frozen=True, kw_only=True):
    """One request a guide made: ``expected`` begins its status, ``asked`` are curl's words."""

    block: int
    expected: str
    status: str
    asked: str
    answer: str

    def __str__(self) -> str:
        wanted = "a success" if self.expected == "2" else self.expected
        return f"{self.asked}\nanswered {self.status}, not {wanted}: {self.answer}"


class Walk(Struct, frozen=True, kw_only=True):
    """What came of a guide that was run to its end, or to where its shell gave up."""

    code: int
    said: str
    requests: tuple[Request, ...]

    def last_answer(self, block: int) -> Any:
        """The last answer of a block."""
        return json.loads([r.answer for r in self.requests if r.block == block][-1])


def read_blocks(text: str) -> tuple[Block, ...]:
    """A guide's blocks to be typed, with the answers shown right behind them."""
    found = list(_BLOCK.finditer(text))
    blocks = []
    for at, match in enumerate(found):
        if match[1] != "sh":
            continue
        behind = found[at + 1] if at + 1 < len(found) else None
        is_shown = behind is not None and behind[1] == "json"
        blocks.append(
            Block(
                line=text.count("\n", 0, match.start()) + 1,
                text=match[2],
                shown=json.loads(behind[2]) if behind is not None and is_shown else None,
            )
        )
    return tuple(blocks)


async def walk(blocks: tuple[Block, ...], *, folder: Path, environ: dict[str, str]) -> Walk:
    """Type the blocks into one shell, in a folder from which ``.venv`` is found as in ours."""
    run = folder / "requests"
    run.mkdir()
    (folder / ".venv").symlink_to(_ROOT / ".venv")
    script = [f"RUN={shlex.quote(str(run))}", _PRELUDE]
    for number, block in enumerate(blocks, 1):
        typed = _STATUS.sub(r'\1echo \2 > "$RUN.expected"', block.text)
        script += [f"BLOCK={number}", typed]
    (folder / "guide.sh").write_text("\n".join(script), "utf-8")
    process = await asyncio.create_subprocess_exec(
        *("bash", "guide.sh"),
        cwd=folder,
        env={**environ, "PYTHONPATH": str(_ROOT)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(RUN_LIMIT_S):
            said, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return Walk(code=process.returncode, said=said.decode(), requests=_read_requests(run))


def differences(shown: Any, real: Any, where: str = "answer") -> list[str]:
    """Where an answer is not as it is shown."""
    if isinstance(shown, dict) and isinstance(real, dict):
        missing = [f"{where}.{key} is not there" for key in shown if key not in real]
        both = [(key, shown[key]) for key in shown if key in real]
        return missing + [d for key, v in both for d in differences(v, real[key], f"{where}.{key}")]
    if isinstance(shown, list) and isinstance(real, list):
        if shown and shown[-1] == "…":
            missing = [row for row in shown[:-1] if all(differences(row, other) for other in real)]
            return [f"{where} has no {row}" for row in missing]
        if len(real) != len(shown):
            return [f"{where} has {len(real)} rows"]
        return [d for n, v in enumerate(shown) for d in differences(v, real[n], f"{where}[{n}]")]
    if isinstance(shown, str) and isinstance(real, str):
        if "…" in shown:
            pattern = ".*".join(re.escape(part) for part in shown.split("…"))
            is_id = re.fullmatch(r"[0-9a-z]{0,4}…(-\d)?", shown)
            return [] if is_id or re.fullmatch(pattern, real) else [f"{where} is {real!r}"]
        if _is_time(shown) and _is_time(real):
            return []
    return [] if shown == real else [f"{where} is {real!r}, not {shown!r}"]


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _read_requests(run: Path) -> tuple[Request, ...]:
    requests = []
    for entry in sorted(run.iterdir(), key=lambda entry: int(entry.name)):
        block, expected, *status = (entry / "status").read_text().split()
        answer = entry / "answer"
        requests.append(
            Request(
                block=int(block),
                expected=expected,
                status=status[0] if status else "000",
                asked=_without_key((entry / "asked").read_text()),
                answer=answer.read_text("utf-8") if answer.exists() else "",
            )
        )
    return tuple(requests)


def _without_key(asked: str) -> str:
    return " ".join(
        line for line in asked.splitlines() if not line.startswith(("-s", "-H", "Authorization"))
    )
