"""What more rows cost: seconds, memory and images read, for a first run and for one that finds all of it done.

    .venv/bin/python benchmarks/scale.py [ROWS ...]      (default: 10,000, 100,000 and 1,000,000, which takes hours)

The rows name 500 small photos in turn, so that images and answers cost next to nothing and what grows with the rows
shows. Captions come from `regioncap fake-vlm` without latency, through everything that a real server's would. Every
run is a process of its own, which starts its own Prefect server; seconds are those of the flow's body.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from throughput import Case, fake_server

from regioncap.command.prefect_env import prepare_prefect

ROWS = (10_000, 100_000, 1_000_000)
DIFFERENT = 500
"""Photos; rows name them in turn."""


def make_input(folder: Path, rows: int) -> None:
    """`photos.jsonl` of `rows` rows with a box each, and the photos."""
    folder.mkdir(parents=True)
    for number in range(DIFFERENT):
        photo = np.full((48, 64, 3), number % 200, np.uint8)
        cv2.rectangle(photo, (10, 10), (30, 40), (200, 30, number % 256), -1)
        cv2.imwrite(str(folder / f"{number}.png"), photo)
    with (folder / "photos.jsonl").open("w") as file:
        for number in range(rows):
            row = {"image": f"{number % DIFFERENT}.png", "n": number, "bbox": [[5, 5, 30, 30]]}
            file.write(json.dumps(row) + "\n")


def run_once(folder: Path, url: str) -> dict[str, float]:
    """One call of the flow in this process: its seconds, peak MB and images read."""
    prepare_prefect(quiet=True)
    from regioncap.config.model import RegionCapConfig
    from regioncap.image_ref import ImageRef
    from regioncap.storage.images import ImageFiles

    module: Any = importlib.import_module("regioncap.flows.region_caption")
    reads, begun = 0, 0.0
    real_read, real_running = ImageFiles.read, module.running

    def reading(self: ImageFiles, ref: ImageRef) -> bytes:
        nonlocal reads
        reads += 1
        return real_read(self, ref)

    def running(*args: object, **kwargs: object) -> object:
        nonlocal begun
        begun = time.perf_counter()
        return real_running(*args, **kwargs)

    module.running = running
    ImageFiles.read = reading  # type: ignore[method-assign]
    config = RegionCapConfig(
        input=str(folder / "photos.jsonl"), output=str(folder / "out.jsonl"), cache_path=str(folder / "cache"),
        endpoint=url, model="fake-vlm", max_boxes=2,
    )  # fmt: skip
    assert module.region_caption(config).complete
    seconds = time.perf_counter() - begun
    return {"seconds": seconds, "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "reads": reads}


def measure(folder: Path, url: str) -> dict[str, float]:
    """`run_once` in a process of its own."""
    done = subprocess.run([sys.executable, __file__, "--once", str(folder), url], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(sizes: list[int]) -> None:
    """Print the figures for each of `sizes` rows."""
    print(f"{len(os.sched_getaffinity(0))} cores", flush=True)
    heads = (("rows", 9), ("first run", 10), ("rows/s", 7), ("peak MB", 8), ("again", 8), ("peak MB", 8), ("read", 5))
    print("  ".join(f"{head:>{width}}" for head, width in heads), flush=True)
    for rows in sizes:
        with tempfile.TemporaryDirectory() as name, fake_server(Case(rows, 256, 0.0)) as (url, _):
            folder = Path(name) / "run"
            make_input(folder, rows)
            first = measure(folder, url)
            runs = [measure(folder, url) for _ in range(3)]
            again = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
            print(
                f"{rows:>9,}  {first['seconds']:>8.1f} s  {rows / first['seconds']:>7,.0f}  {first['mb']:>8.0f}  "
                f"{again['seconds']:>6.1f} s  {again['mb']:>8.0f}  {again['reads']:>5,.0f}",
                flush=True,
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--once"]:
        print(json.dumps(run_once(Path(sys.argv[2]), sys.argv[3])))
    else:
        main([int(rows.replace(",", "")) for rows in sys.argv[1:]] or list(ROWS))
