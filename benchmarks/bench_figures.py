"""The figures of `bench.py`: what each is, its goal, and how it is measured."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from bench_runs import HERE, Case, Code, Lab, Run
from scale import make_input

QUICK = 8
"""By which `--quick` divides rows."""

BY_HAND_400 = Case(400, 32, 0.8)
BY_HAND_1600 = Case(1600, 32, 0.8)
PLAIN_1600 = Case(1600, 32, 0.8, "none")
WIDE = Case(8000, 2048, 4.0)
MANY = Case(20_000, 256, 2.0)
START = Case(40, 32, 0.1)
BURSTS = Case(200, 32, 0.8)
KILLS = 20

Samples = list[tuple[float, list[float]]]
"""(seconds since 1970, idle seconds of each core since the machine's start), in order."""

Measure = Callable[[Lab, Code, bool], float]
"""(lab, whose code, whether quickly) -> one value."""


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    `goal`: what is to be reached, `most` or `least`. `rounds`: how often it is measured; the median counts. `paired`:
    the value is the ratio to the other revision's, and needs one.
    """

    name: str
    what: str
    goal: float
    bound: Literal["most", "least"]
    measure: Measure
    rounds: int = 5
    paired: bool = False

    def reached(self, value: float) -> bool:
        """Whether `value` is as good as the goal."""
        return value <= self.goal if self.bound == "most" else value >= self.goal


def fewer(case: Case, quick: bool) -> Case:
    """The case, or with `quick` one of a fraction of its rows."""
    return Case(case.rows // QUICK, case.slots, case.latency, case.structure) if quick else case


def wall_by_hand(case: Case, lab: Lab, code: Code, quick: bool) -> float:
    """Whole process of the command over that of the script."""
    case = fewer(case, quick)
    both: list[Callable[[], float]] = [lambda: lab.by_hand(case).wall, lambda: lab.run(code, case).wall]
    if lab.round % 2:  # A B, then B A
        mine, theirs = both[1](), both[0]()
    else:
        theirs, mine = both[0](), both[1]()
    return mine / theirs


def busy_from_first(lab: Lab, code: Code, quick: bool) -> float:
    """Share of the slots in use from the very first request to the last answer."""
    return float(lab.run(code, fewer(PLAIN_1600, quick)).stats["busy"])


def wide_run(lab: Lab, code: Code, quick: bool) -> tuple[Run, Samples]:
    """A run at the wide server, and how idle the cores were: one run a round, of which two figures are made."""

    def sampled() -> tuple[Run, Samples]:
        with core_times() as samples:
            return lab.run(code, fewer(WIDE, quick)), samples

    return lab.once(("wide", code), sampled)


def wide_wall(lab: Lab, code: Code, quick: bool) -> float:
    """Wall over what the script's CPU and one latency would take on all cores."""
    case, by_hand = fewer(WIDE, quick), fewer(BY_HAND_1600, quick)
    cpu_a_row = lab.by_hand(by_hand).cpu / by_hand.rows
    run, _ = wide_run(lab, code, quick)
    return run.wall / (case.rows * cpu_a_row / cores() + case.latency)


def wide_idle(lab: Lab, code: Code, quick: bool) -> float:
    """The idle share of the most idle core, between the first and the last request for a row."""
    run, samples = wide_run(lab, code, quick)
    stats = run.stats
    inside = [idle for at, idle in samples if stats["first_row_at"] <= at <= stats["last_row_at"]]
    if len(inside) < 2:
        raise RuntimeError("the run was too short to see its cores")
    seconds = (len(inside) - 1) * SAMPLE_SECONDS
    return max((last - first) / seconds for first, last in zip(inside[0], inside[-1], strict=True))


def cpu_a_row(lab: Lab, code: Code, quick: bool) -> float:
    """CPU milliseconds a row of the whole process, photos of 0.3 MP."""
    case = fewer(BY_HAND_400, quick)
    return 1000 * lab.run(code, case).cpu / case.rows


def pixels_by_operator(megapixels: float, lab: Lab, code: Code, quick: bool) -> float:
    """Images per CPU second of the pixel path over those of the operator's way; rounds are in `pixels.py`."""
    script = f"import sys; sys.path.append({str(HERE)!r}); import pixels; print(pixels.speedup({megapixels}, {quick}))"
    return float(_output_of(code, script))


def first_request(own_server: bool, lab: Lab, code: Code, quick: bool) -> float:
    """Seconds from the command's start to its first request for a row."""
    run = lab.run(code, START, own_server)
    return float(run.stats["first_row_at"] - run.begun)


def last_second(lab: Lab, code: Code, quick: bool) -> float:
    """Seconds from the last answer to the command's end, with a running Prefect server, in a run whose last answer
    comes when Prefect has started."""
    run = lab.run(code, fewer(BY_HAND_400, quick))
    return float(run.ended - run.stats["last_answer_at"])


def lost_at_kill(lab: Lab, code: Code, quick: bool) -> float:
    """The most answers that any of the kills cost; each comes at another burst of answers."""
    kills = 2 if quick else KILLS
    step = BURSTS.rows * 3 // 4 // kills
    return float(max(lab.killed(code, BURSTS, step * (number + 1)) for number in range(kills)))


def memory_pixels(lab: Lab, code: Code, quick: bool) -> float:
    """Peak MB, 1,000,000 rows with captioner `pixels`."""
    folder = lab.folder / f"small-{quick}"
    if not folder.exists():
        make_input(folder, 1_000_000 // (QUICK**3 if quick else 1))
    return lab.run_pixels(code, folder / "photos.jsonl").peak_mb


def memory_http(lab: Lab, code: Code, quick: bool) -> float:
    """Peak MB, 20,000 rows over HTTP at 256 slots."""
    return lab.run(code, fewer(MANY, quick)).peak_mb


def store_busy(lab: Lab, code: Code, quick: bool) -> float:
    """How busy the server is where photos, cache and output lie in an object store, over how busy it is with a disk."""
    case = fewer(BY_HAND_1600, quick)
    return float(lab.run_in_store(code, case).stats["busy"] / lab.run(code, case).stats["busy"])


FIGURES = (
    Figure("by-hand-400", "whole process / by hand, 400 rows, 32 x 0.8 s", 1.15, "most",
           partial(wall_by_hand, BY_HAND_400)),
    Figure("by-hand-1600", "whole process / by hand, 1,600 rows", 1.05, "most", partial(wall_by_hand, BY_HAND_1600)),
    Figure("busy-plain", "busy from the very first request, no structure, 1,600 rows", 0.96, "least", busy_from_first),
    Figure("wide", "8,000 rows, 2,048 x 4 s: wall / (by hand's CPU / cores + latency)", 1.5, "most", wide_wall),
    Figure("wide-idle", "same: idle share of the most idle core", 0.10, "most", wide_idle),
    Figure("cpu", "CPU a row, 0.3 MP, against the other revision", 0.69, "most", cpu_a_row, paired=True),
    Figure("pixels-0.3", "images per CPU second / the operator's, 0.3 MP", 1.9, "least",
           partial(pixels_by_operator, 0.3), rounds=1),
    Figure("pixels-2", "same, 2 MP", 2.8, "least", partial(pixels_by_operator, 2), rounds=1),
    Figure("pixels-12", "same, 12 MP", 7.0, "least", partial(pixels_by_operator, 12), rounds=1),
    Figure("store", "object store of 20 ms: busy against local, 32 x 0.8 s", 0.97, "least", store_busy),
    Figure("kill", "answers 50 ms old that a kill -9 costs, worst of 20", 1, "most", lost_at_kill, rounds=1),
    Figure("memory-pixels", "peak MB, 1,000,000 rows with pixels", 300, "most", memory_pixels, rounds=1),
    Figure("memory-http", "peak MB, 20,000 rows over HTTP, 256 slots", 300, "most", memory_http, rounds=1),
    Figure("first-running", "s to the first row's request, running Prefect server", 1.2, "most",
           partial(first_request, False)),
    Figure("first-own", "same, a Prefect server of its own", 4.0, "most", partial(first_request, True)),
    Figure("end", "s from the last answer to the prompt", 0.5, "most", last_second),
)  # fmt: skip


# --- the machine

SAMPLE_SECONDS = 0.2


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))


@contextmanager
def core_times() -> Iterator[Samples]:
    """In this block samples are added to a list."""
    samples: Samples = []
    over = threading.Event()

    def sample() -> None:
        while not over.wait(SAMPLE_SECONDS):
            samples.append((time.time(), _idle_seconds()))

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()


def _idle_seconds() -> list[float]:
    tick = os.sysconf("SC_CLK_TCK")
    lines = Path("/proc/stat").read_text().splitlines()
    own = [f"cpu{number}" for number in sorted(os.sched_getaffinity(0))]
    idle = {fields[0]: (int(fields[4]) + int(fields[5])) / tick for fields in map(str.split, lines) if len(fields) > 5}
    return [idle[name] for name in own]


def _output_of(code: Code, script: str) -> str:
    """What a Python script prints that runs with the code of `code`. Raises RuntimeError where it fails."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", script], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(code.root)},
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:].strip())
    return done.stdout.splitlines()[-1]
