"""What images in containers cost, beside loose files: the same photos on S3 (moto, a process of its own) in each form.

    .venv/bin/python benchmarks/containers.py [ROWS] [FORM ...]      (default: 50,000 rows, all forms)

For each form a first run (captioner `pixels`) and a second, which finds all of it done, each in a process of its own:
rows a second of the flow's body, memory (at a quarter, half, three quarters and the end of the run, MB), requests to
the store, and how many of them read objects.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from regioncap.command.prefect_env import prepare_prefect
from regioncap.storage.filesystem import Place

ROWS = 50_000
ROWS_A_FILE = 1000
"""Rows of one container."""

ROW_GROUP = 100
"""Rows of one row group of Parquet, as `datasets` writes images."""

BOX = [[20, 20, 90, 60]]
BUCKET = "s3://containers"

Rows = Callable[[], Iterator[tuple[str, bytes]]]
"""(name, JPEG) of each row."""


def photos(rows: int) -> Iterator[tuple[str, bytes]]:
    """Noisy JPEGs of some 15 KB, each with bytes of its own."""
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(50):
        photo = cv2.GaussianBlur(rng.integers(0, 255, (160, 240, 3), dtype=np.uint8), (3, 3), 0)
        cv2.rectangle(photo, (20, 20), (110, 80), [int(value) for value in rng.integers(0, 255, 3)], -1)
        drawn.append(cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes())
    for number in range(rows):
        # A comment behind the end: decoders do not mind it, and no two files are the same.
        yield f"{number:08d}.jpg", drawn[number % len(drawn)] + b"\xff\xfe" + number.to_bytes(8)


def write_loose(rows: Rows) -> str:
    """A JSON Lines file, and an object for each image."""
    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(_put_loose, rows()))
    lines = (json.dumps({"image": name, "bbox": BOX}) + "\n" for name in names)
    Place(f"{BUCKET}/loose/rows.jsonl").write("".join(lines).encode())
    return f"{BUCKET}/loose/rows.jsonl"


def _put_loose(item: tuple[str, bytes]) -> str:
    Place(f"{BUCKET}/loose/{item[0]}").write(item[1])
    return item[0]


def write_tars(rows: Rows, mode: str = "w", ending: str = "tar") -> str:
    """WebDataset tars: an image and a `.json` for each row."""
    count = 0
    for count, some in enumerate(_portions(rows), 1):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode=mode) as tar:  # type: ignore[call-overload]
            for name, data in some:
                about = json.dumps({"bbox": BOX}).encode()
                for member, content in ((name, data), (f"{Path(name).stem}.json", about)):
                    info = tarfile.TarInfo(member)
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
        Place(f"{BUCKET}/{ending}/{count - 1:06d}.{ending}").write(file.getvalue())
    return f"{BUCKET}/{ending}/{{000000..{count - 1:06d}}}.{ending}"


def write_compressed_tars(rows: Rows) -> str:
    """As `write_tars`, compressed."""
    return write_tars(rows, "w:gz", "tar.gz")


def write_parquet(rows: Rows) -> str:
    """Parquet files as Hugging Face's `datasets` writes images."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    for number, some in enumerate(_portions(rows)):
        cells = pa.array([{"bytes": data, "path": name} for name, data in some], image)
        file = io.BytesIO()
        pq.write_table(pa.table({"image": cells, "bbox": [BOX] * len(some)}), file, row_group_size=ROW_GROUP)
        Place(f"{BUCKET}/parquet/{number:06d}.parquet").write(file.getvalue())
    return f"{BUCKET}/parquet/*.parquet"


FORMS: dict[str, Callable[[Rows], str]] = {
    "loose": write_loose,
    "tar": write_tars,
    "tar.gz": write_compressed_tars,
    "parquet": write_parquet,
}
"""Writes the rows in one form; returns the input's address."""


def _portions(rows: Rows) -> Iterator[list[tuple[str, bytes]]]:
    some: list[tuple[str, bytes]] = []
    for item in rows():
        some.append(item)
        if len(some) == ROWS_A_FILE:
            yield some
            some = []
    if some:
        yield some


def run_once(address: str, folder: str) -> dict[str, Any]:
    """One call of the flow in this process, with its seconds, memory and requests."""
    prepare_prefect(quiet=True)
    import s3fs

    from regioncap.config.model import RegionCapConfig

    requests: Counter[str] = Counter()
    real_call = s3fs.S3FileSystem._call_s3

    async def counted(self: Any, method: str, *args: Any, **options: Any) -> Any:
        requests[method] += 1
        return await real_call(self, method, *args, **options)

    s3fs.S3FileSystem._call_s3 = counted
    module: Any = importlib.import_module("regioncap.flows.region_caption")
    begun: list[float] = []
    real_running = module.running

    def running(*args: object, **kwargs: object) -> object:
        begun.append(time.perf_counter())
        return real_running(*args, **kwargs)

    module.running = running
    memory, over = [], threading.Event()

    def watch() -> None:
        while not over.wait(0.5):
            memory.append(_resident_mb())

    threading.Thread(target=watch, daemon=True).start()
    config = RegionCapConfig(
        input=address, output=f"{folder}/out.jsonl", cache_path=f"{folder}/cache", captioner="pixels", box_check=False
    )
    summary = module.region_caption(config)
    over.set()
    assert summary.complete
    quarters = [memory[min(len(memory) - 1, len(memory) * part // 4)] for part in (1, 2, 3, 4)]
    seconds = time.perf_counter() - begun[0]
    return {"rows": summary.rows_out, "seconds": seconds, "mb": quarters, "requests": requests}


def _resident_mb() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1_000_000


def measure(address: str, folder: str) -> dict[str, Any]:
    """`run_once` in a process of its own."""
    done = subprocess.run([sys.executable, __file__, "--once", address, folder], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def serve() -> None:
    """moto's S3 on a free port, which is printed; until the process is ended."""
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    print("http://{}:{}".format(*server.get_host_and_port()), flush=True)
    threading.Event().wait()


def main(rows: int, forms: list[str]) -> None:
    """Print the figures of each form."""
    server = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        os.environ |= {
            "AWS_ENDPOINT_URL_S3": server.stdout.readline().strip(), "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1",
        }  # fmt: skip
        import fsspec

        fsspec.filesystem("s3").mkdir(BUCKET)
        for form in forms:
            address = FORMS[form](lambda: photos(rows))
            with tempfile.TemporaryDirectory() as folder:
                for name in ("first", "second"):
                    done = measure(address, folder)
                    total, gets = sum(done["requests"].values()), done["requests"].get("get_object", 0)
                    print(
                        f"{form:<8} {name:<7} {done['rows']:>7,} rows  {done['seconds']:>7.1f} s  "
                        f"{done['rows'] / done['seconds']:>7,.0f} rows/s  MB {done['mb']}  requests {total:,} "
                        f"({total / rows:.3f} a row), {gets:,} read objects",
                        flush=True,
                    )
            fsspec.filesystem("s3").rm(f"{BUCKET}/{address.removeprefix(BUCKET).split('/')[1]}", recursive=True)
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--once"]:
        print(json.dumps(run_once(*sys.argv[2:4])))
    elif sys.argv[1:2] == ["--serve"]:
        serve()
    else:
        main(int(sys.argv[1].replace(",", "")) if sys.argv[1:] else ROWS, sys.argv[2:] or list(FORMS))
