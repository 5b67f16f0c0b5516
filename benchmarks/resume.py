"""What a kill costs: a run is killed with `kill -9` when half of its answers are there, and run again.

    .venv/bin/python benchmarks/resume.py [--rows 400] [--in-flight 32]

Against a fake server of as many slots and 0.8 s a request, which counts what it is sent again. Then once more, for the
seconds that it takes to find that nothing is to be done. Each run is the command in a process of its own, with a
Prefect server of its own.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from frozen.photos import make_photos
from throughput import Case, fake_server

DEADLINE_SECONDS = 300


def stats_of(url: str) -> dict[str, Any]:
    """What the fake server counted."""
    with urllib.request.urlopen(f"{url.removesuffix('/v1')}/stats") as response:
        found: dict[str, Any] = json.load(response)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--in-flight", type=int, default=32)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, fake_server(Case(args.rows, args.in_flight, 0.8)) as (url, _):
        folder = Path(name)
        command = [
            sys.executable, "-c", "from regioncap.command.app import main; main()",
            "run", str(make_photos(folder, args.rows)),
            "--output", f"{name}/out.jsonl", "--cache-path", f"{name}/cache", "--endpoint", url,
            "--model", "fake-vlm", "--max-in-flight", str(args.in_flight),
        ]  # fmt: skip
        run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        begun = time.monotonic()
        while stats_of(url)["answered"] < args.rows // 2:
            if run.poll() is not None or time.monotonic() - begun > DEADLINE_SECONDS:
                sys.exit(f"the run ended before half of its answers: {run.communicate()[1].decode()}")
            time.sleep(0.05)
        run.send_signal(signal.SIGKILL)
        run.wait()
        kept = len(list((folder / "cache" / "captions").rglob("*.json")))
        killed = stats_of(url)
        subprocess.run(command, check=True, capture_output=True)
        whole = stats_of(url)
        begun = time.monotonic()
        subprocess.run(command, check=True, capture_output=True)
        seconds, last = time.monotonic() - begun, stats_of(url)
    second = whole["requests"] - killed["requests"]
    print(f"{args.rows:,} rows, {args.in_flight} in flight, killed when {killed['answered']:,} were answered")
    print(f"answers kept                        {kept:>7,}")
    print(f"asked by the second run             {second:>7,}")
    print(f"kept answers asked again            {second - (args.rows - kept):>7,}")
    print(f"under way at the kill, sent again   {whole['sent_again'] - killed['sent_again']:>7,}")
    print(f"asked by a third run                {last['requests'] - whole['requests']:>7,}")
    print(f"seconds of the third run            {seconds:>7.1f}   (with the start of Prefect)")


if __name__ == "__main__":
    main()
