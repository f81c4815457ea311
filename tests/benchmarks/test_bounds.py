"""Where a load may be pointed, and how much of it there may be."""

from __future__ import annotations

import pytest

from exchange.bench.bounds import BenchError, Target, check_bounds, target_of


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.8.8.8"])
def test_this_machine_may_be_loaded(host: str) -> None:
    assert target_of(f"http://{host}:8080").port == 8080


@pytest.mark.parametrize("host", ["192.0.2.1", "10.0.0.1", "0.0.0.0", "[2001:db8::1]"])
def test_another_machine_is_refused(host: str) -> None:
    with pytest.raises(BenchError, match="another machine"):
        target_of(f"http://{host}:8080")


def test_another_machine_may_be_loaded_by_those_who_say_that_it_is_theirs() -> None:
    assert target_of("http://192.0.2.1", allow_remote=True) == Target(host="192.0.2.1", port=80)


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1", "127.0.0.1:8080", "http://127.0.0.1/v1", "http://127.0.0.1:x"]
)
def test_what_is_no_base_url_is_refused(url: str) -> None:
    with pytest.raises(BenchError):
        target_of(url)


@pytest.mark.parametrize(
    ("seconds", "connections", "rate"),
    [(0, 1, None), (601, 1, None), (1, 0, None), (1, 8_193, None), (1, 1, 0), (1, 1, 200_001)],
)
def test_a_load_is_bounded(seconds: float, connections: int, rate: float | None) -> None:
    with pytest.raises(BenchError, match="at most"):
        check_bounds(seconds=seconds, connections=connections, rate=rate)
