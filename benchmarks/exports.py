"""What exports cost: seconds of processor and peak memory, for outputs of two sizes.

    python benchmarks/exports.py [ROWS …]

Each export runs in a process of its own, on rows with one to seven regions and two region fields. Memory must not grow
with the rows; photos (for WebDataset) are 50 of 96 x 64 pixels.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from regioncap.registry import EXPORTS

PHOTOS = 50

MEASURED = """
import resource, sys, time
from regioncap.command.app import main
begun = time.process_time()
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert end.code == 0, end.code
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, round(time.process_time() - begun, 1))
"""


def make(folder: Path, rows: int) -> Path:
    """An output of so many rows in `folder`, beside its photos."""
    for number in range(PHOTOS):
        photo = np.random.default_rng(number).integers(0, 255, (64, 96, 3), np.uint8)
        (folder / f"p{number}.png").write_bytes(cv2.imencode(".png", photo)[1].tobytes())
    path = folder / f"out{rows}.jsonl"
    with path.open("w") as out:
        for number in range(rows):
            boxes = [[3 * n, 4, 50 + number % 40, 40] for n in range(1 + number % 7)]
            fields = {"annotation_id": [7 * number + n for n in range(len(boxes))], "label": ["thing"] * len(boxes)}
            meta = {"type": "with_bbox", "bbox": boxes, "width": 96, "height": 64, "region_fields": fields}
            texts = [f"<region{n}> Thing {n} of {number} beside another." for n in range(1, len(boxes) + 1)]
            row = {"image": f"p{number % PHOTOS}.png", "id": f"{number:07d}", "mdvp_record": texts, "meta_info": meta}
            out.write(json.dumps(row) + "\n")
    return path


def measure(output: Path, to: str) -> tuple[int, float]:
    """(peak MB, seconds of processor) of one export."""
    command = [sys.executable, "-c", MEASURED, "export", str(output), "--to", to]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    megabytes, seconds = done.stdout.splitlines()[-1].split()
    return int(megabytes), float(seconds)


def main() -> None:
    """Print a table: for each form and number of rows, peak memory and seconds."""
    sizes = [int(size) for size in sys.argv[1:]] or [10_000, 100_000]
    with tempfile.TemporaryDirectory() as folder:
        outputs = {size: make(Path(folder), size) for size in sizes}
        print("| to | " + " | ".join(f"{size:,} rows" for size in sizes) + " |")
        print("|---|" + "---|" * len(sizes))
        for to in EXPORTS:
            told = [measure(outputs[size], to) for size in sizes]
            print(f"| {to} | " + " | ".join(f"{mb} MB, {seconds} s" for mb, seconds in told) + " |")


if __name__ == "__main__":
    main()
