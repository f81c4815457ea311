"""What is made of a run's figures: verdicts, the page, the table of the command."""

from __future__ import annotations

import json

import msgspec
import pytest

from benchmarks.findings import Findings, Machine, OpenRounds, Posts, Rounds
from benchmarks.judge import judge
from benchmarks.load import Posted
from benchmarks.page import write_page
from benchmarks.run import QUICK
from exchange.bench.latency import Latency
from exchange.bench.measured import Measured
from exchange.cli import main
from tests.benchmarks.tiny import Asked, answer_of, tiny_server


def measured(rate: float, *, p50_us: float = 1_000, p99_us: float = 2_000) -> Measured:
    latency = Latency(count=100, p50_us=p50_us, p90_us=p50_us, p99_us=p99_us, p999_us=p99_us)
    return Measured(
        loop="closed",
        seconds=1,
        connections=1,
        offered_rate=None,
        answered=100,
        answered_in_all=100,
        rate=rate,
        ok_rate=rate,
        statuses={"200": 100},
        latency=latency,
        refused_latency=Latency(),
        service_latency=latency,
        unanswered=0,
        broken=0,
        sender_cpu_share=0.1,
    )


def rounds(name: str, *rates: float, resident_mb: float = 100) -> Rounds:
    return Rounds(
        name=name,
        measured=tuple(measured(rate) for rate in rates),
        cpu_us=tuple(1_000_000 / rate for rate in rates),
        stages_us={"match": 12.0},
        resident_mb=resident_mb,
    )


def run(*, thousand: float = 600, large: float = 560, post: float = 300) -> Findings:
    return Findings(
        at="2026-11-22T00:00:00Z",
        seconds=1,
        plan=QUICK,
        machine=Machine(python="3", system="any", cores=2, apart=True, load_before=0, load_after=0),
        echo=rounds("echo", 900, 1_000, 1_100),
        pings={
            "100": rounds("100", 700),
            "1000": rounds("1000", thousand),
            "10000": rounds("10000", large),
        },
        open=(OpenRounds(name="1000", share=0.5, measured=(measured(500),)),),
        posts=Posts(
            posted=(Posted(measured=measured(post), offered=1, sold=1),),
            floor=(Posted(measured=measured(1_000), offered=1, sold=0),),
            cpu_us=(1.0,),
        ),
    )


@pytest.mark.parametrize(
    ("found", "asked", "holds"),
    [
        (run(thousand=500), "1,000 campaigns", True),
        (run(thousand=499), "1,000 campaigns", False),
        (run(large=525), "10,000 campaigns ≥", True),
        (run(large=524), "10,000 campaigns ≥", False),
        (run(post=250), "durable posts", True),
        (run(post=249), "durable posts", False),
        (run(), "p99 of a ping", True),
        (run(), "at 200 % load nothing crashes", None),
        (run(), "under 250 MB", True),
    ],
)
def test_a_requirement_holds_by_the_ratio_of_medians(
    found: Findings, asked: str, holds: bool | None
) -> None:
    [verdict] = [v for v in judge(found) if asked in v.asked]
    assert verdict.holds is holds


@pytest.mark.parametrize(("share", "is_told"), [(0.6, True), (0.95, False)])
def test_a_floor_that_other_programs_slowed_is_told(share: float, is_told: bool) -> None:
    found = run()
    echo = msgspec.structs.replace(found.echo, core_shares=(share,))
    found = msgspec.structs.replace(found, echo=echo)
    assert ("disturbed" in judge(found)[0].found) is is_told
    assert ("disturbed" in write_page(found, judge(found), "{}")) is is_told


def test_the_page_needs_nothing_but_itself() -> None:
    page = write_page(run(), judge(run()), '{"x": "<script>"}')
    assert "1,000 campaigns" in page
    assert "<script" not in page
    assert not any(word in page for word in ("src=", "href=", "url(", "@import", "//"))


def test_the_command_shows_what_a_running_exchange_answered(
    capsys: pytest.CaptureFixture[str],
) -> None:
    vertical = {"name": "solar", "attributes": {"zip": {"kind": "zip", "required": True}}}

    async def serve(asked: Asked) -> bytes:
        if asked.head.startswith(b"GET /v1/verticals"):
            return answer_of(200, json.dumps({"items": [vertical]}).encode())
        assert b"Authorization: Bearer sk_1" in asked.head
        return answer_of(200, b'{"status":"no_offer"}')

    with tiny_server(serve) as tiny:
        asked = ["bench", tiny.url, "--seller-key", "sk_1", "--seconds", "0.2", "--connections"]
        assert main([*asked, "2"]) == 0
        assert "200:" in capsys.readouterr().out
        assert main([*asked, "2", "--vertical", "none"]) == 1
        assert "there is no vertical none" in capsys.readouterr().err


def test_the_command_refuses_another_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "http://192.0.2.1", "--seller-key", "sk_1"]) == 1
    assert "another machine" in capsys.readouterr().err
