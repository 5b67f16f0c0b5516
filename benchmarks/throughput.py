"""How busy a run keeps its model server: the whole flow against `regioncap fake-vlm`, in a process of its own.

    .venv/bin/python benchmarks/throughput.py [--case 1600x32x0.8 ...] [--runs 3]

A case is rows x slots x seconds a request. Photos are JPEGs of 640x480, all different, half of the rows with boxes;
the server's limit is not told (`max_in_flight` is found out) unless `--told`. Every run has a new cache; a Prefect
server runs all the while. Times are from the flow body's first line. `floor` is what no client could beat on this
machine: the larger of requests x latency over slots, and the CPU seconds of client and server over its cores.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frozen.photos import make_photos
from prefect_server import prefect_server

from regioncap.command.prefect_env import prepare_prefect

CASES = ("1600x32x0.8", "8000x256x2", "8000x2048x4")
COLUMNS = ("wall_s", "floor_s", "wall_floor", "busy", "first_s", "cpu_s", "server_cpu_s", "peak", "peak_mb")


@dataclass(frozen=True)
class Case:
    """`rows` pictures for a server that serves `slots` requests at once, each for `latency` seconds."""

    rows: int
    slots: int
    latency: float

    @classmethod
    def of(cls, text: str) -> Case:
        """The case that `1600x32x0.8` names."""
        rows, slots, latency = text.split("x")
        return cls(int(rows), int(slots), float(latency))


@contextmanager
def fake_server(case: Case) -> Iterator[tuple[str, int]]:
    """(base URL, process id) of a fake server."""
    code = (
        "from regioncap.captioners.fake_server import Behaviour, RunningServer\n"
        f"server = RunningServer(Behaviour(slots={case.slots}, latency={case.latency}))\n"
        "print(server.url, flush=True)\nserver.serve_forever()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), process.pid
    finally:
        process.terminate()
        process.wait()


def cpu_seconds(pid: int) -> float:
    """CPU seconds that a process has spent, all its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run_once(listing: str, folder: str, url: str, in_flight: int | None) -> None:
    """The flow in this process; prints when its body began, and what it took."""
    prepare_prefect(quiet=True)
    import resource

    from regioncap.config.model import RegionCapConfig

    module: Any = importlib.import_module("regioncap.flows.region_caption")
    begun = cpu = 0.0
    real = module.running

    def noting(*args: Any, **kwargs: Any) -> Any:
        nonlocal begun, cpu
        begun, cpu = time.time(), time.process_time()
        return real(*args, **kwargs)

    module.running = noting
    config = RegionCapConfig(
        input=listing, output=f"{folder}/out.jsonl", cache_path=f"{folder}/cache", endpoint=url, model="fake-vlm",
        max_in_flight=in_flight,
    )  # fmt: skip
    summary = module.region_caption(config)
    wall, cpu = time.time() - begun, time.process_time() - cpu
    assert (summary.ok, summary.rows_out) == (True, summary.rows_in), summary
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"begun": begun, "wall_s": wall, "cpu_s": cpu, "peak_mb": peak_mb}))


def measure(case: Case, listing: Path, told: bool) -> dict[str, float]:
    """One run of a case."""
    with tempfile.TemporaryDirectory() as folder, fake_server(case) as (url, pid):
        before = cpu_seconds(pid)
        command = [sys.executable, __file__, "--once", str(listing), folder, url, str(case.slots) if told else ""]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stderr)
        found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        with urllib.request.urlopen(f"{url.removesuffix('/v1')}/stats") as response:
            stats = json.load(response)
        found["server_cpu_s"] = cpu_seconds(pid) - before
    by_slots = stats["requests"] * case.latency / case.slots
    by_cores = (found["cpu_s"] + found["server_cpu_s"]) / len(os.sched_getaffinity(0))
    found |= {"floor_s": max(by_slots, by_cores), "busy": stats["busy_share"], "peak": stats["peak_in_flight"]}
    found |= {"wall_floor": found["wall_s"] / found["floor_s"], "first_s": stats["first_at"] - found["begun"]}
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", metavar="ROWSxSLOTSxSECONDS")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--told", action="store_true", help="max_in_flight is the server's slots")
    args = parser.parse_args()
    print(f"{'case':<14}" + "".join(f"{name:>14}" for name in COLUMNS), flush=True)
    with prefect_server() as api_url, tempfile.TemporaryDirectory() as name:
        os.environ["PREFECT_API_URL"] = api_url
        for text in args.case or CASES:
            case, folder = Case.of(text), Path(name) / text
            folder.mkdir()
            listing = make_photos(folder, case.rows)
            runs = [measure(case, listing, args.told) for _ in range(args.runs)]
            middle = {name: statistics.median(run[name] for run in runs) for name in COLUMNS}
            print(f"{text:<14}" + "".join(f"{middle[name]:>14.3f}" for name in COLUMNS), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--once"]:
        listing, folder, url, in_flight = sys.argv[2:]
        run_once(listing, folder, url, int(in_flight) if in_flight else None)
    else:
        main()
