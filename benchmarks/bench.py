"""Every figure that has a goal, beside the goal and the last value on record.

    make bench                                  all of them: takes hours, for the million rows
    make bench ARGS="--only by-hand-400 --against HEAD~1"
    make bench ARGS="--quick"                   fewer rows and one round: whether all works, not how fast it is

Whole processes of the real command are timed, in turn with what they are set against: the script `peers/by_hand.py`
against the same server, and, with `--against`, the code of another revision, from a worktree of it, with the packages
of this environment. The values are medians over rounds, and of `--against` the medians of the rounds' ratios; the order
within a round alternates. Script, server and photos are frozen (`frozen/SHA256SUMS`), so that goals do not move.

`--record` adds the values to `history.csv`, with the commit, the processors and the load average before the first of
them: above a fifth of the processors the machine was not quiet, and wall times and CPU seconds say little.
"""

from __future__ import annotations

import argparse
import csv
import datetime as dt
import os
import statistics
import subprocess
from contextlib import ExitStack
from pathlib import Path

from bench_figures import FIGURES, Figure, cores
from bench_runs import HERE, Code, Lab, check_frozen, checkout, compile_modules

HISTORY = HERE / "history.csv"
COLUMNS = ("date", "commit", "figure", "value", "rounds", "load", "cores")
QUIET_LOAD = 0.2
"""Load average per processor below which a machine counts as quiet."""


def last_on_record(figure: str) -> str:
    """The figure's last value in the history, its commit, and the load where the machine was not quiet."""
    with HISTORY.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["figure"] == figure]
    if not rows:
        return "-"
    row = rows[-1]
    quiet = float(row["load"]) <= QUIET_LOAD * int(row["cores"])
    return f"{row['value']} ({row['commit']}{'' if quiet else ', load ' + row['load']})"


def record(figure: str, value: float, rounds: int, load: float) -> None:
    """Add a line to the history."""
    line = (dt.date.today().isoformat(), commit(), figure, f"{value:.3f}", rounds, f"{load:.1f}", cores())
    with HISTORY.open("a", newline="") as file:
        csv.writer(file, lineterminator="\n").writerow(line)


def commit() -> str:
    """This checkout's commit; with a + where something other than the history is not committed."""
    git = ["git", "-C", str(HERE)]
    name = subprocess.run([*git, "rev-parse", "--short=10", "HEAD"], check=True, capture_output=True, text=True)
    others = [":/", f":(exclude,top)benchmarks/{HISTORY.name}"]
    changed = subprocess.run(
        [*git, "status", "--porcelain", "-uno", "--", *others], check=True, capture_output=True, text=True
    )
    return name.stdout.strip() + ("+" if changed.stdout.strip() else "")


def measure(figure: Figure, lab: Lab, code: Code, other: Code | None, quick: bool) -> tuple[float, float | None]:
    """(the figure's median, the median ratio to the other revision's). Raises RuntimeError where it cannot be had."""
    values, ratios = [], []
    for lab.round in range(1 if quick else figure.rounds):
        order = [code, other] if lab.round % 2 else [other, code]
        found = {one.name: figure.measure(lab, one, quick) for one in order if one is not None}
        values.append(found[code.name])
        if other is not None and found[other.name]:
            ratios.append(found[code.name] / found[other.name])
    return statistics.median(values), statistics.median(ratios) if ratios else None


def line_of(figure: Figure, lab: Lab, code: Code, other: Code | None, args: argparse.Namespace, load: float) -> str:
    """Measure a figure, and record it if that was asked for; its line of the table."""
    goal = f"{'<=' if figure.bound == 'most' else '>='} {figure.goal:g}"
    missing = "needs --against REV" if figure.paired and other is None else ""
    value, ratio = None, None
    if not missing:
        try:
            value, ratio = measure(figure, lab, code, other, args.quick)
        except RuntimeError as error:
            missing = f"failed: {error}"
    judged = ratio if figure.paired else value
    was = last_on_record(figure.name)
    if args.record and judged is not None:
        record(figure.name, judged, figure.rounds, load)
    shown = "-" if value is None else f"{value:.3f}"
    verdict = f"not measured: {missing}" if judged is None else "" if figure.reached(judged) else "missed"
    against = "" if ratio is None else f"{ratio:.3f}"
    return f"{figure.name:<14} {shown:>9} {goal:>8} {against:>8}  {was:<28} {figure.what}  {verdict}".rstrip()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [figure.name for figure in FIGURES]
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--against", metavar="REV", help="a git revision whose code runs in turn with this")
    parser.add_argument("--quick", action="store_true", help="fewer rows, one round; cannot be recorded")
    parser.add_argument("--record", action="store_true", help="add the values to history.csv")
    args = parser.parse_args()
    if args.quick and args.record:
        parser.error("--quick measures something smaller than the figures: it cannot be recorded")
    check_frozen()
    load = os.getloadavg()[0]
    busy = load > QUIET_LOAD * cores()
    print(f"{commit()}, {cores()} processors, load {load:.1f}{' (not quiet: read ratios only)' if busy else ''}"
          f"{', QUICK: not the figures, but smaller runs of them' if args.quick else ''}")  # fmt: skip
    print(f"{'figure':<14} {'now':>9} {'goal':>8} {'/ other':>8}  {'last on record':<28} what", flush=True)
    with ExitStack() as stack:
        other = stack.enter_context(checkout(args.against)) if args.against else None
        lab = stack.enter_context(Lab())
        code = Code(Path(HERE).parent.resolve(), "this")
        compile_modules(code.root)
        for figure in FIGURES:
            if not args.only or figure.name in args.only:
                print(line_of(figure, lab, code, other, args, load), flush=True)


if __name__ == "__main__":
    main()
