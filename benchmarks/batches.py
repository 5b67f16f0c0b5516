"""What more rows cost in batches: memory, the disk for files on their way, and that files stay within their limits.

    .venv/bin/python benchmarks/batches.py [ROWS ...]      (default: 10,000, 30,000 and 60,000)

Every row has an answer of its own: the rows name 500 small photos in turn, with another box each time. A batch has at
most 5,000 requests and 20 MB; `regioncap fake-vlm` answers at once, and one request in twenty fails. Measured is the
pass by batches alone, in a process of its own, without Prefect: what comes after it is what `scale.py` measures.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

ROWS = (10_000, 30_000, 60_000)
DIFFERENT = 500
"""Photos."""

MAX_REQUESTS, MAX_BYTES = 5_000, 20_000_000
FAILS = 0.05
SAMPLED_EVERY_SECONDS = 0.02


def make_input(folder: Path, rows: int) -> None:
    """`photos.jsonl` of `rows` rows, no two with the same photo and box, and the photos."""
    folder.mkdir(parents=True)
    for number in range(DIFFERENT):
        photo = np.full((48, 64, 3), number % 200, np.uint8)
        cv2.rectangle(photo, (10, 10), (30, 40), (200, 30, number % 256), -1)
        cv2.imwrite(str(folder / f"{number}.png"), photo)
    with (folder / "photos.jsonl").open("w") as file:
        for number in range(rows):
            turn = number // DIFFERENT
            box = [turn % 20, turn // 20 % 20, 20, 20 + turn // 400]
            file.write(json.dumps({"image": f"{number % DIFFERENT}.png", "n": number, "bbox": [box]}) + "\n")


class Scratch:
    """Looks how much lies in the folders of temporary files, until `ended` is set. `bytes`, `files`: the most at a
    time; of requests, the record beside them is counted too."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.bytes = self.files = 0
        self.ended = threading.Event()

    def watch(self) -> None:
        """Look again and again."""
        while not self.ended.wait(SAMPLED_EVERY_SECONDS):
            sizes = []
            for path in self._folder.glob("regioncap-batch-*/*"):
                try:
                    sizes.append(path.stat().st_size)
                except FileNotFoundError:
                    continue
            self.bytes, self.files = max(self.bytes, sum(sizes)), max(self.files, len(sizes))


def run_once(folder: Path, url: str) -> dict[str, float]:
    """The pass by batches in this process: its seconds, peak MB, and the most that lay on the disk at a time."""
    from regioncap.config.model import RegionCapConfig
    from regioncap.run.runs import RUNS
    from regioncap.tasks.batches import caption_in_batches

    scratch = Scratch(Path(tempfile.gettempdir()))
    watching = threading.Thread(target=scratch.watch, daemon=True)
    watching.start()
    config = RegionCapConfig(
        input=str(folder / "photos.jsonl"), output=str(folder / "out.jsonl"), cache_path=str(folder / "cache"),
        endpoint=url, model="fake-vlm", delivery="batch", batch_max_requests=MAX_REQUESTS, batch_max_bytes=MAX_BYTES,
        draw_visualization=False,
    )  # fmt: skip
    begun = time.perf_counter()
    with RUNS.enter():
        context = RUNS.context(config)
        before = peak_mb()
        caption_in_batches(context)
        seconds = time.perf_counter() - begun
        bill = context.progress.bill()
        RUNS.close(config)
    scratch.ended.set()
    watching.join()
    return {
        "seconds": seconds, "mb": peak_mb(), "mb_before": before, "scratch_mb": scratch.bytes / 1e6,
        "scratch_files": scratch.files, "tokens": bill.batch_prompt_tokens + bill.batch_completion_tokens,
    }  # fmt: skip


def peak_mb() -> float:
    """The most memory that this process had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextmanager
def fake_server() -> Iterator[str]:
    """The URL of a server of its own that answers batches at once."""
    code = (
        "from regioncap.captioners.fake_server import BatchBehaviour, Behaviour, RunningServer\n"
        f"batch = BatchBehaviour(fails={{'500': {FAILS}}}, max_requests={MAX_REQUESTS}, max_bytes={MAX_BYTES})\n"
        "server = RunningServer(Behaviour(latency=0.0, batch=batch))\n"
        "print(server.url, flush=True)\nserver.serve_forever()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def stats_of(url: str) -> dict[str, object]:
    """What the server's batches were asked."""
    with urllib.request.urlopen(url.removesuffix("/v1") + "/stats") as response:
        found: dict[str, object] = json.load(response)["batches"]
    return found


def measure(rows: int) -> dict[str, float]:
    """`run_once` in a process of its own, against a server of its own."""
    with tempfile.TemporaryDirectory() as name, fake_server() as url:
        folder = Path(name) / "run"
        make_input(folder, rows)
        (temporary := Path(name) / "tmp").mkdir()
        command = [sys.executable, __file__, "--once", str(folder), url]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "TMPDIR": str(temporary)})
        if done.returncode:
            sys.exit(done.stderr)
        seen = stats_of(url)
        assert (seen["submitted"], seen["submitted_twice"]) == (rows, 0), seen
        billed = seen["billed"]
        assert isinstance(billed, dict)
        found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        assert billed["prompt_tokens"] + billed["completion_tokens"] == found["tokens"], (billed, found)
        return {**found, "batches": float(str(seen["batches"]))}


def main(sizes: list[int]) -> None:
    """Print the figures for each of `sizes` rows."""
    print(f"{len(os.sched_getaffinity(0))} cores", flush=True)
    print("   rows   batches   seconds   peak MB   before   scratch: most MB, files", flush=True)
    for rows in sizes:
        found = measure(rows)
        print(
            f"{rows:>7,}  {found['batches']:>8.0f}  {found['seconds']:>8.0f}  {found['mb']:>8.0f}  "
            f"{found['mb_before']:>7.0f}   {found['scratch_mb']:.1f}, {found['scratch_files']:.0f}",
            flush=True,
        )  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:2] == ["--once"]:
        print(json.dumps(run_once(Path(sys.argv[2]), sys.argv[3])))
    else:
        main([int(rows.replace(",", "")) for rows in sys.argv[1:]] or list(ROWS))
