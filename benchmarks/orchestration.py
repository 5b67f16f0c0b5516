"""What Prefect and the step files cost: the same rows through the plain functions, the steps, and the flow.

python benchmarks/orchestration.py [--rows 2000] [--runs 3]

Prints medians of paired runs, in turn, in one process, with one running Prefect server and a new cache each time:
`plain` is the steps' functions on rows in memory, `steps` adds step files and manifests, `flow` adds Prefect.
`again` is the same flow once more: nothing to do. Ratios travel between machines, seconds do not.
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
    """The steps with their files and manifests, one after the other, without Prefect."""
    with closing(RunContext(config)) as context:
        for shard in read_shards(config, context.files):
            step = keep_input(shard, context)
            for spec in STEPS:
                step = run_step(spec, context, step).data
            context.storage.read(step)


def flow(config: RegionCapConfig) -> None:
    """The flow, with its output."""
    assert region_caption(config).complete


def seconds(work: Callable[[RegionCapConfig], None], config: RegionCapConfig) -> float:
    """Wall seconds of `work`."""
    begun = time.perf_counter()
    work(config)
    return time.perf_counter() - begun


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    times: dict[str, list[float]] = {"plain": [], "steps": [], "flow": [], "again": []}
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
    middle = {kind: statistics.median(values) for kind, values in times.items()}
    print(f"{args.rows:,} rows, median of {args.runs} paired runs")
    print("            seconds   rows/s   to plain")
    for kind, spent in middle.items():
        print(f"{kind:<9} {spent:>9.2f} {args.rows / spent:>8,.0f} {spent / middle['plain']:>10.2f}")
    share = statistics.median((f - s) / f for f, s in zip(times["flow"], times["steps"], strict=True))
    print(f"Prefect's share of the flow's time: {share:.1%} (median of pairs; under 0: the flow overlaps its shards)")


if __name__ == "__main__":
    main()
