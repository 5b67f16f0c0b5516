"""What Prefect and the step files cost: the same rows through the plain functions, the steps, and the flow.

    .venv/bin/python benchmarks/orchestration.py [--rows 2000] [--runs 3] [--captioner pixels|fake-vlm]

Prints medians of paired runs, in turn, in one process, with one running Prefect server and a new cache each time:
`plain` is the steps' functions on rows in memory, `steps` adds step files, manifests and the output, `overlapped` has
as many shards in flight as the flow has, on plain threads, and `flow` adds Prefect: task runs, their events and the
run's page. `again` is the same flow once more: nothing to do. Shares are of CPU seconds of this process; the Prefect
server is another, and so is `regioncap fake-vlm`, which answers at once. Photos are JPEGs of 640x480, all different.
Ratios travel between machines, seconds do not.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import Any

from frozen.photos import make_photos
from prefect_server import prefect_server
from throughput import Case, fake_server

from regioncap.config.model import RegionCapConfig
from regioncap.flows.region_caption import region_caption
from regioncap.inputs.readers import read_shards
from regioncap.output.join import ShardSteps
from regioncap.preflight.check import check
from regioncap.preflight.start import start
from regioncap.records import Row, Step
from regioncap.run.context import RunContext
from regioncap.run.runs import RUNS
from regioncap.tasks.caption import caption_rows
from regioncap.tasks.draw_row import draw_row
from regioncap.tasks.extract import extract_rows
from regioncap.tasks.load import load_rows, pack
from regioncap.tasks.map_rows import map_rows
from regioncap.tasks.normalize import normalize_rows
from regioncap.tasks.route import route_rows
from regioncap.tasks.scheduling import MIN_SHARDS_IN_FLIGHT, target_rows_in_flight
from regioncap.tasks.shard import STEPS, keep_input, run_steps
from regioncap.tasks.step import run_step
from regioncap.tasks.write import write_file


def plain(config: RegionCapConfig) -> None:
    """The steps' functions on rows in memory: no file but a model's answers and the pictures it sees, no Prefect."""
    with closing(RunContext(config)) as context:
        read, pool = context.images.read, context.threads.pixels

        def draw(row: Row) -> Row:
            drawn, jpegs = draw_row(row, read, config)
            if context.captioner.paid:
                context.marks.put(drawn["marked"]["sha256"], jpegs[0])
            return drawn

        for shard in read_shards(config, context.files):
            rows = load_rows(pack(shard), config.image_key, lambda images: list(map(context.images.stat, images)))
            rows = route_rows(rows, config.bbox_key, config.empty_bbox)
            rows = extract_rows(rows, read, config, pool=pool)
            rows = normalize_rows(rows, config)
            rows = map_rows("visualize", draw, rows, pool=pool)
            caption_rows(rows, context)


def steps(config: RegionCapConfig) -> None:
    """The steps with their files and manifests, one after the other, and the output, without Prefect."""
    with closing(RunContext(config)) as context:
        done = []
        for shard in read_shards(config, context.files):
            steps = [keep_input(shard, context)]
            for spec in STEPS:
                made = run_step(spec, context, steps[-1]).data
                assert isinstance(made, Step)
                steps.append(made)
            done.append(tuple(steps))
        assert write_file(done, context).complete


def overlapped(config: RegionCapConfig) -> None:
    """The steps with as many shards in flight as in the flow, on plain threads, and the output."""
    done, in_flight = [], dict[Future[ShardSteps], int]()

    def take(futures: set[Future[ShardSteps]]) -> None:
        for future in futures:
            del in_flight[future]
            done.append(future.result())

    with RUNS.enter():
        context, enough = RUNS.context(config), target_rows_in_flight(config)
        start(context, check(context))
        try:
            with ThreadPoolExecutor() as threads:
                for shard in context.shards():
                    while len(in_flight) >= MIN_SHARDS_IN_FLIGHT and sum(in_flight.values()) >= enough:
                        take(wait(in_flight, return_when=FIRST_COMPLETED).done)
                    step = keep_input(shard, context)
                    six = partial(copy_context().run, run_steps, step, config, False)  # a thread's run is ours
                    in_flight[threads.submit(six)] = step.rows
                take(wait(in_flight).done)
            assert write_file(sorted(done, key=lambda steps: steps[0].shard), context).complete
        finally:
            RUNS.close(config)


def flow(config: RegionCapConfig) -> None:
    """The whole flow."""
    assert region_caption(config).complete


def seconds(work: Callable[[RegionCapConfig], None], config: RegionCapConfig) -> tuple[float, float]:
    """Wall and CPU seconds of `work`."""
    begun, cpu = time.perf_counter(), time.process_time()
    work(config)
    return time.perf_counter() - begun, time.process_time() - cpu


def share(times: dict[str, list[tuple[float, float]]], more: str, less: str) -> str:
    """The share of the flow's CPU seconds by which `more` needs more than `less`: median of pairs, least and most."""
    triples = zip(times[more], times[less], times["flow"], strict=True)
    shares = [(a[1] - b[1]) / flow[1] for a, b, flow in triples]
    return f"{statistics.median(shares):.1%} ({min(shares):.1%} to {max(shares):.1%})"


KINDS = {"plain": plain, "steps": steps, "overlapped": overlapped, "flow": flow, "again": flow}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--captioner", choices=["pixels", "fake-vlm"], default="pixels")
    parser.add_argument("--only", nargs="+", choices=list(KINDS), default=list(KINDS), metavar="KIND")
    args = parser.parse_args()
    times: dict[str, list[tuple[float, float]]] = {kind: [] for kind in args.only}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(prefect_server())
        who: dict[str, Any] = {"captioner": "pixels"}
        if args.captioner != "pixels":
            url, _ = stack.enter_context(fake_server(Case(args.rows, 256, 0.0)))
            who = {"endpoint": url, "model": "fake-vlm"}
        listing = make_photos(folder, args.rows)
        for run in range(args.runs + 1):
            for kind in args.only:
                cache = folder / f"cache-{run}-{'flow' if kind == 'again' else kind}"
                output = folder / f"{run}.jsonl"
                config = RegionCapConfig(
                    input=str(listing), output=str(output), cache_path=str(cache), max_boxes=5, **who
                )
                spent = seconds(KINDS[kind], config)
                if run:  # the first round warms files and imports
                    times[kind].append(spent)
    middle = {kind: [statistics.median(part) for part in zip(*values, strict=True)] for kind, values in times.items()}
    print(f"{args.rows:,} rows, captioner {args.captioner}, median of {args.runs} paired runs")
    print("                wall      CPU   rows/s   ms of CPU a row")
    for kind, (wall, cpu) in middle.items():
        print(f"{kind:<10} {wall:>7.2f} s {cpu:>6.2f} s {args.rows / wall:>8,.0f} {1000 * cpu / args.rows:>17.2f}")
    if {"steps", "plain", "flow"} <= set(times):
        print(f"files, hashes, manifests, output: {share(times, 'steps', 'plain')} of the flow's CPU seconds")
    if {"overlapped", "flow"} <= set(times):
        print(f"Prefect:                          {share(times, 'flow', 'overlapped')}")


if __name__ == "__main__":
    main()
