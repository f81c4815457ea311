"""What is made of a run beside peers, and what the peers are installed from."""

from __future__ import annotations

import json
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.findings import Machine
from benchmarks.peers.__main__ import NORMAL
from benchmarks.peers.bidders import answer_of, request_end
from benchmarks.peers.contestants import every_contestant
from benchmarks.peers.findings import (
    OURS,
    STREAM,
    Field,
    Hanging,
    PeerFindings,
    Round,
    is_ours,
    slope,
)
from benchmarks.peers.judge import judge
from benchmarks.peers.measure import expected_cents
from benchmarks.peers.page import write_page
from benchmarks.peers.toolchains import (
    HERE,
    Unavailable,
    numbers,
    pinned,
    prepare_fastify,
)
from tests.benchmarks.test_report import measured

REQUEST = b"POST /bid HTTP/1.1\r\nHost: x\r\nContent-Type: a\r\nContent-Length: 5\r\n\r\n12345"


def one_round(
    rate: float, *, right: int = 100, wrong: int = 0, cpu_us: float = 10, p99_us: float = 2_000
) -> Round:
    return Round(
        measured=measured(rate, p99_us=p99_us),
        right=right,
        wrong={"no_offer": wrong} if wrong else {},
        cpu_us=cpu_us,
        core_share=1.0,
        others_share=0.0,
        bidders_share=0.2,
        load_core_share=0.3,
    )


def field(name: str, *rates: float, size: int = 10, cpu_us: float = 10) -> Field:
    rounds = tuple(one_round(rate, cpu_us=cpu_us) for rate in rates)
    return Field(name=name, size=size, connections=8, rounds=rounds, resident_mb=50)


def run(
    *fields: Field, hanging: tuple[Hanging, ...] = (), out: dict[str, str] | None = None
) -> PeerFindings:
    return PeerFindings(
        at="2026-11-22T00:00:00Z",
        seconds=1,
        plan=NORMAL,
        machine=Machine(python="3", system="any", cores=2, apart=True, load_before=0, load_after=0),
        made_of={one.name: "parts" for one in fields},
        fields=fields,
        hanging=hanging,
        out=out or {},
    )


def hang(p99_ms: float, *, right: int = 1_000, wrong: int = 0) -> Hanging:
    rounds = (one_round(100, right=right, wrong=wrong, p99_us=p99_ms * 1_000),)
    return Hanging(name=OURS, size=10, timeout_ms=200, rounds=rounds)


def test_the_rate_counts_right_answers_only() -> None:
    assert one_round(1_000, right=60, wrong=40).rate == 600


def test_connections_are_chosen_by_the_rate_among_those_that_hold_the_deadline() -> None:
    calm, fast, late = one_round(100), one_round(200, wrong=1), one_round(900, wrong=2)
    assert max((calm, fast, late), key=lambda one: one.worth) is fast


def test_contestants_rank_by_the_median_of_their_rounds() -> None:
    found = run(field("a", 1, 500, 501), field("b", 400, 450, 9_000), field(OURS, 600))
    assert [one.name for one in found.of_size(10)] == [OURS, "a", "b"]
    best = found.best_peer(10)
    assert best is not None
    assert best.name == "a"


def test_neither_of_our_own_is_a_peer() -> None:
    assert run(field(OURS, 600), field(STREAM, 700)).best_peer(10) is None
    names = [contestant.name for contestant in every_contestant()]
    assert [is_ours(name) for name in names] == [True, True, False, False, False, False]


def test_a_call_costs_what_an_auction_grows_by() -> None:
    found = run(*(field("a", 1, size=size, cpu_us=50 + 30 * size) for size in (1, 5, 10, 20)))
    assert found.call_us("a") == pytest.approx(30)
    assert run(field("a", 1)).call_us("a") is None


@given(
    grows=st.integers(-1_000, 1_000),
    base=st.integers(-1_000, 1_000),
    xs=st.sets(st.integers(0, 100), min_size=2, max_size=8),
)
def test_the_slope_of_a_line_is_its_own(grows: int, base: int, xs: set[int]) -> None:
    assert slope([(x, base + grows * x) for x in xs]) == pytest.approx(grows, abs=1e-6)


@pytest.mark.parametrize(
    ("found", "asked", "holds"),
    [
        (run(field(OURS, 150), field("a", 100)), "the best peer", True),
        (run(field(OURS, 149), field("a", 100), field("b", 50)), "the best peer", False),
        (run(field(OURS, 150)), "the best peer", None),
        (run(field("a", 150)), "the best peer", None),
        (run(field(OURS, 100), field(STREAM, 300)), "bid streams", True),
        (run(field(OURS, 100), field(STREAM, 299)), "bid streams", False),
        (run(field(OURS, 1, size=1, cpu_us=50), field(OURS, 1, cpu_us=275)), "outgoing call", True),
        (
            run(field(OURS, 1, size=1, cpu_us=50), field(OURS, 1, cpu_us=276)),
            "outgoing call",
            False,
        ),
        (run(hanging=(hang(205),)), "at half load", True),
        (run(hanging=(hang(205.1),)), "at half load", False),
        (run(hanging=(hang(205),)), "every bid that came", True),
        (run(hanging=(hang(205, wrong=2),)), "every bid that came", False),
    ],
)
def test_a_requirement_holds_by_its_figure(
    found: PeerFindings, asked: str, holds: bool | None
) -> None:
    [verdict] = [v for v in judge(found) if asked in v.asked]
    assert verdict.holds is holds


def test_a_contestant_that_is_out_is_told_with_its_words() -> None:
    found = run(field("a", 100), out={OURS: "refused: <no>"})
    assert judge(found)[0].found == "refused: <no>"
    assert "refused: &lt;no&gt;" in write_page(found, judge(found), "{}")


def test_rates_bounded_by_the_load_are_told() -> None:
    full = Round(
        measured=measured(100), right=1, wrong={}, cpu_us=1, core_share=0.5, others_share=0.0,
        bidders_share=0.7, load_core_share=0.97,
    )  # fmt: skip
    ours = Field(name=OURS, size=10, connections=8, rounds=(full,), resident_mb=1)
    assert "97% full" in judge(run(ours, field("a", 100)))[0].found


@pytest.mark.parametrize(("share", "is_told"), [(0.4, True), (0.05, False)])
def test_a_run_that_other_programs_took_cores_from_is_told(share: float, is_told: bool) -> None:
    slowed = msgspec.structs.replace(one_round(100), others_share=share)
    peer = Field(name="a", size=10, connections=8, rounds=(slowed,), resident_mb=1)
    found = run(field(OURS, 150), peer)
    assert ("disturbed" in judge(found)[0].found) is is_told
    assert ("disturbed" in write_page(found, judge(found), "{}")) is is_told


def test_the_page_needs_nothing_but_itself() -> None:
    found = run(field(OURS, 150), field("a", 100), hanging=(hang(205),))
    page = write_page(found, judge(found), '{"x": "<script>"}')
    assert "+5.0 ms" in page
    assert "<script" not in page
    assert not any(word in page for word in ("src=", "href=", "url(", "@import", "//"))


# --- bidders --------------------------------------------------------------------------------------


def test_the_last_bidder_bids_most_and_the_seller_is_offered_less_the_margin() -> None:
    assert answer_of(9).endswith(b'\r\n\r\n{"price":29.00,"currency":"USD"}')
    assert [expected_cents(index) for index in (0, 4, 9, 19)] == [1_700, 2_040, 2_465, 3_315]


@given(cut=st.integers(0, len(REQUEST)), more=st.binary(max_size=40))
def test_a_request_ends_where_its_length_says(cut: int, more: bytes) -> None:
    assert request_end(REQUEST[:cut]) == (len(REQUEST) if cut == len(REQUEST) else 0)
    assert request_end(REQUEST + more) == len(REQUEST)


@pytest.mark.parametrize(
    "request_bytes",
    [b"POST / HTTP/1.1\r\n\r\n", b"x" * 70_000, REQUEST.replace(b": 5", b": 99999")],
    ids=["no length", "endless head", "endless body"],
)
def test_what_is_no_bounded_request_is_refused(request_bytes: bytes) -> None:
    with pytest.raises(ValueError, match="request"):
        request_end(request_bytes)


# --- what peers are installed from ----------------------------------------------------------------


def test_every_package_of_the_node_peer_is_pinned_with_its_hash_and_names_no_place() -> None:
    package = json.loads((HERE / "fastify" / "package.json").read_text())
    lock = json.loads((HERE / "fastify" / "package-lock.json").read_text())
    assert lock["packages"][""]["dependencies"] == package["dependencies"]
    parts = {name: part for name, part in lock["packages"].items() if name}
    assert all(part["integrity"].startswith("sha512-") for part in parts.values())
    assert not any("resolved" in part for part in parts.values())
    for name, version in package["dependencies"].items():
        assert parts[f"node_modules/{name}"]["version"] == version


@pytest.mark.parametrize("folder", ["", "go"])
def test_every_package_of_the_other_peers_is_pinned_with_its_hash(folder: str) -> None:
    pins = HERE / folder / "requirements.txt"
    wanted = re.findall(r"^[a-z]\S*", (HERE / folder / "requirements.in").read_text(), re.MULTILINE)
    assert all(numbers(pinned(pins, name)) for name in wanted)
    text = pins.read_text()
    assert len(re.findall(r"^\S+==\S+ \\\n    --hash=sha256:", text, re.MULTILINE)) == len(
        re.findall(r"^\S+==", text, re.MULTILINE)
    )
    assert "://" not in text


@pytest.mark.parametrize(
    ("text", "expected"), [("20.18.1", (20, 18, 1)), ("1.22rc1", (1, 22)), ("devel", ())]
)
def test_a_version_is_compared_by_its_numbers(text: str, expected: tuple[int, ...]) -> None:
    assert numbers(text) == expected


def test_a_machine_without_node_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Unavailable, match="no node on PATH"):
        prepare_fastify()
