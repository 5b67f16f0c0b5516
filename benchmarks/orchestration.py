"""What Prefect and the step files cost: the same rows through the plain functions, the steps, and the flow.

python benchmarks/orchestration.py [--rows 2000] [--runs 3]

Prints medians of paired runs, in turn, in one process, with one running Prefect server and a new cache each time:
`plain` is the steps' functions on rows in memory, `steps` adds step files, manifests and the output, `flow` adds
Prefect. `again` is the same flow once more: nothing to do. Shares are of CPU seconds of this process; the Prefect
server is another. Ratios travel between machines, seconds do not.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np

os.environ["PREFECT_LOGGING_LEVEL"] = "ERROR"  # read by Prefect when it is imported, which is below

from prefect.testing.utilities import prefect_test_harness

from flows.region_caption import region_caption
from tasks.caching import run_step
from tasks.caption import caption_rows
from tasks.config import RegionCapConfig, make_config
from tasks.context import RunContext
from tasks.extract import extract_rows
from tasks.load import load_rows, pack
from tasks.normalize import normalize_rows
from tasks.route import route_rows
from tasks.rows import map_rows
from tasks.shard import STEPS, keep_input
from tasks.storage.readers import read_shards
from tasks.visualize import draw_row
from tasks.write import write_file


def make_photos(folder: Path, rows: int, different: int = 100) -> Path:
    """A JSONL of `rows` rows over some JPEGs of 640x480, every other row with boxes."""
    rng = np.random.default_rng(0)
    for number in range(different):
        small = rng.integers(0, 255, (12, 16, 3), dtype=np.uint8)
        photo = cv2.resize(small, (640, 480), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{number}.jpg"), photo)
    boxes = {"bbox": [[40, 40, 200, 160], [300, 200, 250, 200]]}
    lines = ({"image": f"{n % different}.jpg", "n": n} | (boxes if n % 2 else {}) for n in range(rows))
    listing = folder / "photos.jsonl"
    listing.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return listing


def plain(config: RegionCapConfig) -> None:
    """The steps' functions on rows in memory: no file, no Prefect."""
    with closing(RunContext(config)) as context:
        read, pool = context.images.read, context.pool
        for shard in read_shards(config, context.files):
            rows = load_rows(pack(shard), config.image_key, lambda images: list(map(context.images.stat, images)))
            rows = route_rows(rows, config.bbox_key, config.empty_bbox)
            rows = extract_rows(rows, read, config, pool=pool)
            rows = normalize_rows(rows, config)
            rows = map_rows("visualize", lambda row: draw_row(row, read, config)[0], rows, pool=pool)
            caption_rows(rows, context)


def steps(config: RegionCapConfig) -> None:
    """The steps with their files and manifests, one after the other, and the output, without Prefect."""
    with closing(RunContext(config)) as context:
        done = []
        for shard in read_shards(config, context.files):
            steps = [keep_input(shard, context)]
            for spec in STEPS:
                steps.append(run_step(spec, context, steps[-1]).data)
            done.append(tuple(steps))
        assert write_file(done, context).complete


def flow(config: RegionCapConfig) -> None:
    """The whole flow."""
    assert region_caption(config).complete


def seconds(work: Callable[[RegionCapConfig], None], config: RegionCapConfig) -> tuple[float, float]:
    """Wall and CPU seconds of `work`."""
    begun, cpu = time.perf_counter(), time.process_time()
    work(config)
    return time.perf_counter() - begun, time.process_time() - cpu


def share(times: dict[str, list[tuple[float, float]]], more: str, less: str) -> float:
    """The share of the flow's CPU seconds by which `more` needs more than `less`, median of pairs."""
    triples = zip(times[more], times[less], times["flow"], strict=True)
    return statistics.median((a[1] - b[1]) / flow[1] for a, b, flow in triples)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    times: dict[str, list[tuple[float, float]]] = {"plain": [], "steps": [], "flow": [], "again": []}
    with tempfile.TemporaryDirectory() as name, prefect_test_harness(server_startup_timeout=180):
        folder = Path(name)
        listing = make_photos(folder, args.rows)
        for run in range(args.runs + 1):
            for kind, work in (("plain", plain), ("steps", steps), ("flow", flow), ("again", flow)):
                cache = folder / f"cache-{run}-{'flow' if kind == 'again' else kind}"
                output = folder / f"{run}.jsonl"
                config = make_config(
                    input=str(listing), output=str(output), cache_path=str(cache), captioner="pixels", max_boxes=5
                )
                spent = seconds(work, config)
                if run:  # the first round warms files and imports
                    times[kind].append(spent)
    middle = {kind: [statistics.median(part) for part in zip(*values, strict=True)] for kind, values in times.items()}
    print(f"{args.rows:,} rows, median of {args.runs} paired runs")
    print("               wall      CPU   rows/s   CPU to plain")
    for kind, (wall, cpu) in middle.items():
        print(f"{kind:<9} {wall:>7.2f} s {cpu:>6.2f} s {args.rows / wall:>8,.0f} {cpu / middle['plain'][1]:>14.2f}")
    print(f"files, hashes, manifests, output: {share(times, 'steps', 'plain'):.1%} of the flow's CPU seconds")
    print(f"Prefect:                          {share(times, 'flow', 'steps'):.1%}")


if __name__ == "__main__":
    main()
