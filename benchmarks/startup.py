"""How soon a run asks its model: from the command's start to the first request for a row, and what imports take.

    .venv/bin/python benchmarks/startup.py [--runs 5]

40 photos of 640x480, half of them with boxes, and `regioncap fake-vlm` in a process of its own; every run has a new
cache. `running` is a command that finds a Prefect server (PREFECT_API_URL), `own` one that starts its own and ends it,
`own, first ever` the same in a new PREFECT_HOME, where Prefect makes its database first.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from frozen.photos import make_photos
from prefect_server import prefect_server
from throughput import Case, fake_server

ROWS = 40
REGIONCAP = str(Path(sys.executable).with_name("regioncap"))
IMPORTS = {
    "regioncap --help": [REGIONCAP, "--help"],
    "import of the flow": [sys.executable, "-c", "import regioncap.flows.region_caption"],
}


def seconds_of(command: list[str]) -> float:
    """Wall seconds of a process."""
    begun = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - begun


def first_request(listing: Path, home: Path, api_url: str | None) -> dict[str, float]:
    """Seconds from the command's start to its first request for a row, and to its end."""
    with tempfile.TemporaryDirectory() as folder, fake_server(Case(ROWS, 32, 0.1)) as (url, _):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        server = {"PREFECT_API_URL": api_url} if api_url else {}
        begun, clock = time.time(), time.perf_counter()
        done = subprocess.run(
            [REGIONCAP, "run", str(listing), "--endpoint", url, "--model", "fake-vlm",
             "--output", f"{folder}/out.jsonl", "--cache-path", f"{folder}/cache"],
            env=kept | server | {"PREFECT_HOME": str(home)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        wall = time.perf_counter() - clock
        if done.returncode:
            sys.exit(done.stderr)
        with urllib.request.urlopen(f"{url.removesuffix('/v1')}/stats") as response:
            stats = json.load(response)
    return {"first": stats["first_at"] - begun, "wall": wall}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    for name, command in IMPORTS.items():
        print(f"{name:<20} {statistics.median(seconds_of(command) for _ in range(runs)):>6.2f} s", flush=True)

    print("\nserver                first request    whole command")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        listing = make_photos(folder, ROWS)
        found: dict[str, list[dict[str, float]]] = {"running": [], "own": [], "own, first ever": []}
        with prefect_server() as api_url:
            for run in range(runs):
                home = folder / f"home{run}"
                found["running"].append(first_request(listing, folder / "home", api_url))
                found["own, first ever"].append(first_request(listing, home, None))
                found["own"].append(first_request(listing, home, None))
    for kind, times in found.items():
        first, wall = (statistics.median(time[key] for time in times) for key in ("first", "wall"))
        print(f"{kind:<20} {first:>13.1f} s {wall:>14.1f} s", flush=True)


if __name__ == "__main__":
    main()
