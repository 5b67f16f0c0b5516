"""What a run costs in an object store: its requests by kind, and the seconds of reruns that find all of it done.

    .venv/bin/python benchmarks/object_store.py [--rows 400] [--without-marks] [--latency 0.02] [--local]

Images, cache and output lie in the stand-in of `s3_server.py`, 20 ms a request, 200 at once; answers come from the
frozen server, 32 at once. Runs of the command, each a process of its own, with a Prefect server that is there: the
first, the same once more, and one with the rows in another order, for another output. Small photos.
`--prepare SECONDS`: the store's latency in the first run, where only reruns are of interest. `--local`: on disk.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import fsspec
import numpy as np
from bench_runs import COMMAND, HERE, Case, ask_server, finish, frozen_server
from prefect_server import prefect_server
from stand_in import LATENCY, object_store

SLOTS = 32
AT_ONCE = 5000
"""Photos that are made and uploaded at a time."""


def put_photos(fs: fsspec.AbstractFileSystem, folder: str, rows: int, different: int) -> None:
    """Small photos in `folder`, and two listings that name them in turn: `rows.jsonl`, and `shuffled.jsonl`."""
    fs.makedirs(f"{folder}/photos", exist_ok=True)
    for start in range(0, different, AT_ONCE):
        fs.pipe({f"{folder}/photos/{n}.png": photo(n) for n in range(start, min(different, start + AT_ONCE))})
    lines = [json.dumps({"image": f"photos/{n % different}.png", "bbox": [[5, 5, 30, 30]]}) + "\n" for n in range(rows)]
    fs.pipe_file(f"{folder}/rows.jsonl", "".join(lines).encode())
    random.Random(1).shuffle(lines)
    fs.pipe_file(f"{folder}/shuffled.jsonl", "".join(lines).encode())


def photo(number: int) -> bytes:
    """A PNG of 64x48 unlike all others."""
    pixels = np.full((48, 64, 3), 90, np.uint8)
    cv2.rectangle(pixels, (10, 10), (30, 40), (200, 30, 0), -1)
    for bit in range(20):  # in squares that JPEG keeps
        top, left = 8 * (bit // 8) + 24, 8 * (bit % 8)
        pixels[top : top + 8, left : left + 8] = 255 * (number >> bit & 1)
    return cv2.imencode(".png", pixels)[1].tobytes()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--different", type=int, help="distinct photos, used by the rows in turn; default: one per row")
    parser.add_argument("--latency", type=float, default=LATENCY, help="seconds that a request takes")
    parser.add_argument("--prepare", type=float, metavar="SECONDS", help="latency during the first run")
    parser.add_argument("--answer", type=float, default=0.8, metavar="SECONDS", help="time the model takes to answer")
    parser.add_argument("--without-marks", action="store_true", help="keep no marked pictures")
    parser.add_argument("--local", action="store_true", help="images, cache and output on disk")
    args = parser.parse_args()
    case = Case(args.rows, SLOTS, args.answer)
    with (
        prefect_server() as api_url, object_store(0.0) as store, frozen_server(case) as endpoint,
        tempfile.TemporaryDirectory() as home,
    ):  # fmt: skip
        folder = home if args.local else store.folder
        put_photos(
            fsspec.filesystem("file") if args.local else store.fs, folder, args.rows, args.different or args.rows
        )
        env = {**os.environ, **store.env, "PREFECT_API_URL": api_url, "PYTHONPATH": str(HERE.parent)}
        options = ["--no-draw-visualization"] if args.without_marks else []
        prepare = args.latency if args.prepare is None else args.prepare
        asked = 0
        for name, listing, latency in (
            ("first run", "rows", prepare), ("again", "rows", args.latency), ("shuffled", "shuffled", args.latency),
        ):  # fmt: skip
            store.counted(latency)
            command = [
                sys.executable, "-P", "-c", COMMAND, str(HERE.parent.resolve()), "run", f"{folder}/{listing}.jsonl",
                "--output", f"{folder}/out/{listing}.jsonl", "--cache-path", f"{folder}/cache",
                "--endpoint", endpoint, "--model", "fake-vlm", *options,
            ]  # fmt: skip
            log = Path(home) / "log.txt"
            with log.open("wb") as file:
                begun = time.time()
                run = finish(subprocess.Popen(command, env=env, stdout=file, stderr=file), begun, log)
            stats = ask_server(endpoint, "stats")
            print(
                f"{name}: {run.wall:.1f} s, CPU {run.cpu:.1f} s, {run.peak_mb:.0f} MB, load {os.getloadavg()[0]:.1f}, "
                f"busy {stats['busy']:.3f}, {stats['requests'] - asked:,} requests to the model"
            )
            asked = stats["requests"]
            counts = store.counted(args.latency)
            for kind, count in sorted(counts.items(), key=lambda item: -item[1]):
                print(f"  {kind:<24} {count:>9,} {count / args.rows:>8.3f} a row")
            print(f"  {'in all':<24} {counts.total():>9,} {counts.total() / args.rows:>8.3f} a row", flush=True)


if __name__ == "__main__":
    main()
