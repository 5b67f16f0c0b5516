"""What a look at a finished run costs: seconds, memory and images read, at two sizes of the input.

    .venv/bin/python benchmarks/relook.py [ROWS]

The run is done once with small photos and `captioner="pixels"`; then the same call is made again, in a process of its
own, which finds every shard done. The cost per row and the peak memory should not grow with the input.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from flows.cli import prepare_prefect

DIFFERENT = 500
"""Photos; rows name them in turn."""


def make_input(folder: Path, rows: int) -> None:
    """`photos.jsonl` of `rows` rows, half of them with boxes, and the photos."""
    folder.mkdir(parents=True)
    for number in range(DIFFERENT):
        photo = np.full((48, 64, 3), number % 200, np.uint8)
        cv2.rectangle(photo, (10, 10), (30, 40), (200, 30, number % 256), -1)
        cv2.imwrite(str(folder / f"{number}.png"), photo)
    with (folder / "photos.jsonl").open("w") as file:
        for number in range(rows):
            row = {"image": f"{number % DIFFERENT}.png", "n": number, "bbox": [[5, 5, 30, 30]]}
            file.write(json.dumps(row) + "\n")


def run_once(folder: Path) -> dict[str, float]:
    """One call of the flow in this process: its seconds, peak MB and images read."""
    prepare_prefect()
    from flows.region_caption import region_caption
    from tasks.config import make_config
    from tasks.storage.images import ImageFiles

    reads = 0
    real = ImageFiles.read

    def counting(self: ImageFiles, image: str) -> bytes:
        nonlocal reads
        reads += 1
        return real(self, image)

    ImageFiles.read = counting  # type: ignore[method-assign]
    config = make_config(
        input=str(folder / "photos.jsonl"), output=str(folder / "out.jsonl"), cache_path=str(folder / "cache"),
        captioner="pixels", max_boxes=2, draw_visualization=False,
    )  # fmt: skip
    begun = time.perf_counter()
    assert region_caption(config).complete
    seconds = time.perf_counter() - begun
    return {"seconds": seconds, "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "reads": reads}


def measure(folder: Path) -> dict[str, float]:
    """`run_once` in a process of its own."""
    command = [sys.executable, __file__, "--once", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(rows: int) -> None:
    """Print the figures of `rows` rows and of a tenth of them."""
    with tempfile.TemporaryDirectory() as folder:
        print(f"{'rows':>9}  {'first run':>10}  {'again':>8}  {'peak MB':>8}  {'images read':>11}")
        for count in (rows // 10, rows):
            place = Path(folder) / str(count)
            make_input(place, count)
            first = measure(place)
            again = min((measure(place) for _ in range(3)), key=lambda found: found["seconds"])
            print(
                f"{count:>9,}  {first['seconds']:>8.1f} s  {again['seconds']:>6.1f} s  {again['mb']:>8.0f}  "
                f"{again['reads']:>11,.0f}"
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--once"]:
        print(json.dumps(run_once(Path(sys.argv[2]))))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
