"""RegionCap beside its peers: the same captioning job, done by each of them, against the same server.

    .venv/bin/pip install -c constraints.txt -e . && .venv/bin/pip install -r benchmarks/peers/requirements.txt
    .venv/bin/python benchmarks/peers.py [--only daft_prompt ...] [--rows 400] [--runs 3] [--kill]

The second pip takes numpy, pillow and pyarrow back to what Daft allows, so an environment of its own is the better
place. A contestant whose package is missing is left out, and the table says so.

The job: JPEGs of 640x480, half of them with boxes; find regions in the others, draw marks, have each picture described
by `regioncap fake-vlm`, write a JSONL. The pixel work is one function of RegionCap's own parts, in `peers/job.py`; what
is measured is what is around it. All may have as many requests under way (RegionCap finds its limit out). Answers name
picture and region, and each contestant's file is checked: the same pictures, each asked about once, no answer missing.
RegionCap sends three requests more, which try the server out. Its requests also hold the answer to a form (a regex),
but for the first four, and it alone keeps step files and marked pictures. By hand and datatrove keep each answer as it
comes, Ray those of a block with what it wrote; Daft keeps none (its checkpoints need a Ray cluster).

Every run has a process, a folder and a server of its own; contestants take turns; figures are medians of the runs.
`wall_s`: the whole process. `job_s`: from the job's first line after imports and, for Ray and RegionCap, after their
own start (`ray.init`; Prefect's flow run, with a Prefect server that runs already and is not counted) to its end.
`floor`: requests x latency over slots. `busy`: share of the slots that work, from first request to last answer.
`cpu_s`: of all its processes. Daemons are found by a mark in their environment and looked at ten times a second, so
what a process did after the last look is missing; Ray ends its workers without their time being added to a parent's.

`--kill`: each is killed (SIGKILL, all its processes) at half of the answers and started again as it was. `twice`: how
many requests were sent again though the server had answered them; `in_flight`: those under way then, which nobody can
know of.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from frozen.photos import make_photos
from throughput import Case, fake_server

from regioncap.captioners.fake_server import digest_of

sys.path.append(str(Path(__file__).with_suffix("")))
import job  # type: ignore[import-not-found]

MARK = "REGIONCAP_PEERS_RUN"
"""In the environment of all that a contestant starts, so that daemons are found too."""

COLUMNS = ("wall_s", "wall_floor", "job_s", "job_floor", "busy", "requests", "peak", "cpu_s")
KILL_COLUMNS = ("answered", "in_flight", "twice", "requests")
LONGEST = 180.0
"""Seconds that a contestant may take."""


@dataclass(frozen=True)
class Contestant:
    """A script in `peers/`; `package`: what it needs. `answers`: its files. `trials`: requests beside those of rows."""

    package: str
    answers: str = "out/*.json*"
    trials: int = 0


CONTESTANTS = {
    "regioncap_run": Contestant("flows", "out.jsonl", trials=3),
    "by_hand": Contestant("aiohttp"),
    "datatrove_runner": Contestant("datatrove"),
    "daft_prompt": Contestant("daft"),
    "ray_data": Contestant("ray"),
}

Answers = dict[int, list[tuple[str, str]]]
"""By row: (region, picture) as the server's answers name them, in order."""


def expected(listing: Path) -> Answers:
    """What must be in everyone's answers."""
    found = {row["n"]: job.draw(row["image"], row.get("bbox")) for row in job.rows_of(str(listing))}
    drawn = {n: item for n, item in found.items() if item is not None}
    counts = {n: question.count(">: …") for n, (_, question) in drawn.items()}
    return {n: [(str(i + 1), digest_of(jpeg)) for i in range(counts[n])] for n, (jpeg, _) in drawn.items()}


def answered(folder: Path, pattern: str) -> Answers:
    """What a contestant wrote. Ends the benchmark where a row is there twice."""
    found: Answers = {}
    for file in sorted(folder.glob(pattern)):
        for row in map(json.loads, file.read_text().splitlines()):
            if row["n"] in found:
                sys.exit(f"{file}: row {row['n']} has two answers")
            text = row["answer"] if "answer" in row else "\n".join(row["mdvp_record"])
            found[row["n"]] = re.findall(r"with (\d+) bells in photo (\w+)", text)
    return found


class Processes:
    """All processes of one run, found by a mark in their environment, and what processor time they took."""

    def __init__(self) -> None:
        self.mark = f"{MARK}={uuid.uuid4().hex}"
        self._seconds: dict[tuple[int, str], float] = {}
        self._strangers: set[str] = set()

    def look(self) -> list[int]:
        """Those that live now; their processor time is noted."""
        alive = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                name = (int(folder.name), fields[19])
                if name not in self._seconds and self.mark.encode() not in (folder / "environ").read_bytes():
                    continue
                self._seconds[name] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
                if fields[0] != "Z":
                    alive.append(name[0])
        return alive

    def kill(self) -> None:
        """SIGKILL to all, until none is left."""
        while alive := self.look():
            for pid in alive:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)

    @property
    def cpu_s(self) -> float:
        """What they took together, as far as it was seen."""
        return sum(self._seconds.values())

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look ten times a second."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(0.1):
                self.look()

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def stats_of(url: str) -> dict[str, Any]:
    """What the server was asked up to now."""
    with urllib.request.urlopen(f"{url.removesuffix('/v1')}/stats") as response:
        found: dict[str, Any] = json.load(response)
    return found


@contextmanager
def started(name: str, listing: Path, folder: Path, url: str, processes: Processes) -> Iterator[subprocess.Popen[str]]:
    """A contestant at work; nothing of it is left afterwards."""
    mark, value = processes.mark.split("=")
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "DAFT_ANALYTICS_ENABLED": "0", "DO_NOT_TRACK": "1"}
    command = [sys.executable, str(Path(job.__file__).with_name(f"{name}.py")), str(listing), str(folder), url]
    with (folder / "log.txt").open("a") as log:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **quiet, mark: value}
        )
        try:
            yield process
        finally:
            processes.kill()
            process.wait()


def finish(name: str, process: subprocess.Popen[str], folder: Path) -> dict[str, float]:
    """Wait until it is through; what it printed of its times. Ends the benchmark where it failed."""
    try:
        printed, _ = process.communicate(timeout=LONGEST)
    except subprocess.TimeoutExpired:
        sys.exit(f"{name}: not through after {LONGEST:g} s")
    if process.returncode:
        sys.exit(f"{name} failed:\n{printed}\n{(folder / 'log.txt').read_text()[-4000:]}")
    times: dict[str, float] = json.loads(printed.splitlines()[-1])
    return times


def check(name: str, folder: Path, requests: int, wanted: Answers, *, exactly: bool = True) -> None:
    """Everything asked once and written. Ends the benchmark otherwise."""
    contestant = CONTESTANTS[name]
    if exactly and requests != len(wanted) + contestant.trials:
        sys.exit(f"{name}: {requests} requests, expected {len(wanted)} for the rows and {contestant.trials} beside")
    found = answered(folder, contestant.answers)
    wrong = sorted(n for n in wanted.keys() | found.keys() if wanted.get(n) != found.get(n))
    if wrong:
        n = wrong[0]
        sys.exit(f"{name}: {len(wrong)} rows are not as expected; row {n}: {found.get(n)} for {wanted.get(n)}")


def measure(name: str, case: Case, listing: Path, wanted: Answers) -> dict[str, float]:
    """One run of a contestant."""
    processes = Processes()
    with tempfile.TemporaryDirectory() as place, fake_server(case) as (url, _):
        folder = Path(place)
        before, begun = children_cpu_s(), time.time()
        with started(name, listing, folder, url, processes) as process, processes.watched():
            times = finish(name, process, folder)
            wall = time.time() - begun
        stats = stats_of(url)
        check(name, folder, stats["requests"], wanted)
    floor = len(wanted) * case.latency / case.slots
    job_s = times["wall_s"] if "wall_s" in times else times["ended"] - times["begun"]
    return {
        "wall_s": wall,
        "wall_floor": wall / floor,
        "job_s": job_s,
        "job_floor": job_s / floor,
        "busy": stats["busy_share"],
        "requests": stats["requests"],
        "peak": stats["peak_in_flight"],
        # Whichever saw more: the one misses daemons, the other what comes between two looks.
        "cpu_s": max(processes.cpu_s, children_cpu_s() - before),
    }


def children_cpu_s() -> float:
    """Processor time of the children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def kill_and_go_on(name: str, case: Case, listing: Path, wanted: Answers) -> dict[str, float]:
    """One run that is killed at half of the answers, and the same command again."""
    with tempfile.TemporaryDirectory() as place, fake_server(case) as (url, _):
        folder, trials = Path(place), CONTESTANTS[name].trials
        processes = Processes()
        with started(name, listing, folder, url, processes) as process:
            while stats_of(url)["answered"] < len(wanted) // 2 + trials:
                if process.poll() is not None:
                    finish(name, process, folder)
                    sys.exit(f"{name} was through before it was killed")
                time.sleep(0.05)
            processes.kill()
            killed = stats_of(url)
        with started(name, listing, folder, url, Processes()) as process:
            finish(name, process, folder)
        stats = stats_of(url)
        check(name, folder, stats["requests"], wanted, exactly=False)
    in_flight = killed["requests"] - killed["answered"]
    twice = stats["requests"] - trials - len(wanted) - in_flight
    told = {"answered": killed["answered"] - trials, "in_flight": in_flight, "requests": stats["requests"]}
    return {**told, "twice": max(0, twice)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=CONTESTANTS, help="may be given more than once")
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--kill", action="store_true", help="kill each at half of the answers, and run it again")
    args = parser.parse_args()
    names = args.only or list(CONTESTANTS)
    for name in [name for name in names if find_spec(CONTESTANTS[name].package) is None]:
        print(f"{name}: left out, {CONTESTANTS[name].package} is not installed (peers/requirements.txt)")
        names.remove(name)
    case = Case(args.rows, 32, 0.8)
    columns = KILL_COLUMNS if args.kill else COLUMNS
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if "regioncap_run" in names:
            from prefect_server import prefect_server

            os.environ["PREFECT_API_URL"] = stack.enter_context(prefect_server())
        listing = make_photos(folder, args.rows)
        wanted = expected(listing)
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
        for _ in range(args.runs):
            for name in names:
                runs[name].append((kill_and_go_on if args.kill else measure)(name, case, listing, wanted))
        print(f"{len(wanted)} of {args.rows} rows have regions; medians of {args.runs}")
        print(f"{'':<18}" + "".join(f"{column:>12}" for column in columns))
        for name in names:
            middle = {column: statistics.median(run[column] for run in runs[name]) for column in columns}
            print(f"{name:<18}" + "".join(f"{middle[column]:>12.2f}" for column in columns), flush=True)


if __name__ == "__main__":
    main()
