"""What kills cost while answers come in bursts: how many that had come are requested, and paid for, again.

    .venv/bin/python benchmarks/kills.py [--kills 20] [--in-flight 32] [--tree CHECKOUT]

A fake server answers all requests in flight at the same moment, every second. A run is killed with `kill -9` shortly
after such a burst (from 0.05 to 0.15 s, each kill a little later) and the same command is started again, until it is
killed at a burst, too; so each run resumes the one before. Counted for each kill: the requests for regions that the
server had answered `--before` seconds earlier or more, and that a later run sent again. `--tree`: the checkout whose
RegionCap runs, for the figures of another commit.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from frozen.photos import make_photos
from prefect_server import prefect_server

from regioncap.captioners.fake_server import Behaviour, RunningServer

BEAT = 1.0
EARLIEST, LATEST = 0.05, 0.15
"""Seconds from a burst's first answer to the kill."""

DEADLINE_SECONDS = 120.0
BURSTS = 2
"""Bursts that a run lives through, the one that it is killed after included."""


def start(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """A run in a process of its own."""
    with log.open("ab") as file:
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=file)


def kill_after_burst(command: Sequence[str], server: RunningServer, in_flight: int, delay: float, log: Path) -> float:
    """Start the run and kill it `delay` seconds after a burst's first answer; returns when that was."""
    before = server.stats["answered"]
    burst: threading.Event = server.when_answered(before + 1 + (BURSTS - 1) * in_flight + 1)
    run = start(command, log)
    if not burst.wait(DEADLINE_SECONDS):
        run.kill()
        sys.exit(f"no burst came; see what the run says: {log.read_text()[-2000:]}")
    time.sleep(delay)
    killed_at = time.time()
    run.send_signal(signal.SIGKILL)
    run.wait()
    return killed_at


def lost_by(kills: Sequence[float], server: RunningServer, before: float) -> list[int]:
    """For each kill, how many requests that were answered since the kill before, `before` seconds earlier or more, came
    again."""
    answered = [repeat.answered_at for repeat in server.repeats]
    begins = [0.0, *kills[:-1]]
    return [sum(begin < at <= killed - before for at in answered) for begin, killed in zip(begins, kills, strict=True)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--in-flight", type=int, default=32)
    parser.add_argument("--before", type=float, default=0.05)
    parser.add_argument("--tree", type=Path, default=Path(__file__).parents[1])
    args = parser.parse_args()
    os.environ["PYTHONPATH"] = str(args.tree.resolve())
    rows = (args.kills * BURSTS + 2) * args.in_flight
    behaviour = Behaviour(slots=args.in_flight, latency=0.1, beat=BEAT)
    with prefect_server() as api_url, tempfile.TemporaryDirectory() as name, RunningServer(behaviour) as server:
        os.environ["PREFECT_API_URL"] = api_url
        folder = Path(name)
        command = [
            sys.executable, "-c", "from regioncap.command.app import main; main()",
            "run", str(make_photos(folder, rows)), "--output", f"{name}/out.jsonl", "--cache-path", f"{name}/cache",
            "--endpoint", server.url, "--model", "fake-vlm", "--max-in-flight", str(args.in_flight),
        ]  # fmt: skip
        kills = []
        for number in range(args.kills):
            delay = EARLIEST + (LATEST - EARLIEST) * number / max(1, args.kills - 1)
            kills.append(kill_after_burst(command, server, args.in_flight, delay, folder / "log.txt"))
        last = start(command, folder / "log.txt")
        if last.wait():
            sys.exit(f"the last run failed: {(folder / 'log.txt').read_text()[-2000:]}")
        lost, stats = lost_by(kills, server, args.before), server.stats
    print(f"{args.kills} kills, {args.in_flight} answers at once, {rows:,} rows, {stats['answered']:,} answers")
    print(f"answered {args.before:g} s or more before a kill, and sent again: {sum(lost)}; at most {max(lost)} a kill")
    print(f"by kill: {' '.join(map(str, lost))}")


if __name__ == "__main__":
    main()
