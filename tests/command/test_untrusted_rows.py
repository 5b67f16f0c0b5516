"""A run over rows that mean harm: it ends, and every row comes out once."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import closing
from pathlib import Path

from regioncap.run.context import RunContext
from tests.support.commands import COMMAND, environment
from tests.support.http_images import running_server
from tests.support.photos import write_photo
from tests.support.rows import BOX, read_rows, write_rows
from tests.support.runs import config_of
from tests.support.steps import make_all


def test_every_row_comes_out_once(tmp_path: Path) -> None:
    write_photo(tmp_path / "p.png", 1)
    os.mkfifo(tmp_path / "fifo")
    with (tmp_path / "sparse.png").open("wb") as file:
        file.truncate(10_000_000_000)
    with running_server() as server:
        url = f"http://127.0.0.1:{server.server_port}"
        harm = {
            "/dev/zero": "image_unreadable",
            "fifo": "image_unreadable",
            "sparse.png": "image_too_large",
            "/proc/self/environ": "image_refused",
            f"{url}/endless": "image_too_large",
            f"{url}/huge": "image_too_large",
            f"{url}/bomb": "image_too_large",
            f"{url}/drip": "image_unavailable",
            f"{url}/silent": "image_unavailable",
            f"{url}/to?http://169.254.169.254/": "image_refused",
            f"simplecache::{url}/endless": "image_refused",
            "github://a:b@main/x.jpg": "image_refused",
        }
        write_rows(tmp_path / "photos.jsonl", [{"image": image, "bbox": [BOX]} for image in ("p.png", *harm, "p.png")])
        settings = {"image_timeout": 1, "max_image_bytes": 1_000_000}
        with closing(RunContext(config_of(tmp_path, **settings))) as context:
            made = make_all(context)
    assert [reject["row"]["image"] for reject in made.rejects] == list(harm)
    assert made.codes() == list(harm.values())
    assert len(made.rows) == 2


def test_ctrl_c_ends_a_run_while_a_server_hangs(tmp_path: Path, prefect_server: None) -> None:
    with running_server() as server:
        image = f"http://127.0.0.1:{server.server_port}/silent"
        write_rows(tmp_path / "photos.jsonl", [{"image": image, "bbox": [BOX], "n": n} for n in range(3)])
        args = ["photos.jsonl", "--captioner", "pixels", "--image-timeout", "600", "--image-check", "never"]
        running = subprocess.Popen(
            [*COMMAND, "run", *args, "--no-box-check"],
            cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert server.hanging.wait(120)
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=60)
    assert running.returncode == 1
    assert "Resume with:" in errors
    assert "Traceback" not in errors
    assert read_rows(tmp_path / "photos.regioncap.runs.jsonl")[0]["outcome"] == "stopped"
