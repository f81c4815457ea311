"""`python -m benchmarks.run`: everything of issue "the bench" in one run."""

from __future__ import annotations

import argparse
import statistics
import sys
import time

from benchmarks.load import Order
from benchmarks.running import Bench
from benchmarks.seeding import SELLER_KEY


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    sizes = (1, 100, 1_000, 10_000)
    with Bench() as bench:
        t = time.time()
        servers = {"echo": bench.start_floor("echo")}
        for size in sizes:
            market = bench.market(size, returner=size == 1_000)
            print("market", size, time.time() - t)
            servers[str(size)] = bench.start_worker(market)
            print("worker", size, time.time() - t, servers[str(size)].resident_mb())
        loader = bench.start_loader()
        rates: dict[str, list[float]] = {}
        for _ in range(3):
            for name, served in servers.items():
                cpu = served.cpu_s()
                m = loader.carry_out(Order(kind="ping", url=served.url, key=SELLER_KEY, seconds=1.5))
                rates.setdefault(name, []).append(m["ok_rate"])
                print(name, m["ok_rate"], m["statuses"], m["latency"]["p50_us"], m["latency"]["p99_us"], m["sender_cpu_share"], (served.cpu_s() - cpu))
        for name, r in rates.items():
            print(name, statistics.median(r), statistics.median(r) / statistics.median(rates["echo"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
