"""What Hugging Face's own `datasets` makes of our files, and we of its."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from regioncap.exports.export import ExportRequest, export
from regioncap.output.reading import open_output
from regioncap.storage.filesystem import Filesystems
from tests.support.outputs import Make, output_row
from tests.support.photos import write_photo
from tests.support.runs import Run

Datasets = Callable[[str], Any]


@pytest.fixture
def datasets(tmp_path: Path) -> Datasets:
    """`datasets(code)`: runs Python code in the test's folder, in a process of its own; the JSON that it prints."""

    def call(code: str) -> Any:
        environment = {**os.environ, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(
            [sys.executable, "-c", f"from datasets import *\nimport json\n{code}"],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "malformed" not in done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return call


LOOK = """
row = found[0]
print(json.dumps({"rows": len(found), "features": list(found.features), "size": row["image"].size,
    "format": row["image"].format, "captions": row["captions"], "bbox": row["bbox"], "label": row["label"],
    "flags": found[1]["flags"], "path": found.cast_column("image", Image(decode=False))[0]["image"]["path"]}))
"""


@pytest.mark.parametrize(
    "load",
    [
        "found = load_dataset('out.hf', split='train')",
        "found = load_dataset('parquet', data_files='out.hf/data/*.parquet', split='train')",
        "found = Dataset.from_parquet('out.hf/data/train-00000-of-00001.parquet')",
    ],
)
def test_an_export_is_a_data_set(load: str, tmp_path: Path, make_output: Make, datasets: Datasets) -> None:
    for number in range(2):
        write_photo(tmp_path / f"p{number}.png", number)
    fields = {"label": ["cat", "dog"]}
    rows = [
        output_row("p0.png", ["A grey cat.", "A dog."], id=7, meta={"region_fields": fields}),
        output_row("p1.png", ["A cup."], id=8, meta={"flags": [["too_short"]]}),
    ]
    export(open_output(str(make_output(rows)), Filesystems()), ExportRequest("hf"), Filesystems())
    assert datasets(f"{load}\n{LOOK}") == {
        "rows": 2,
        "features": ["image", "source", "width", "height", "type", "regions", "captions", "bbox", "normalized_bbox",
                     "flags", "label", "id"],
        "size": [96, 64], "format": "PNG", "captions": ["A grey cat.", "A dog."],
        "bbox": [[4, 5, 20.5, 30], [6, 5, 20.5, 30]], "label": ["cat", "dog"], "flags": [["too_short"]],
        "path": "p0.png",
    }  # fmt: skip


def test_images_in_the_csv_that_it_writes_are_read(tmp_path: Path, run: Run, datasets: Datasets) -> None:
    for number in range(3):
        write_photo(tmp_path / f"p{number}.png", number)
    datasets(
        "rows = [{'image': {'bytes': open(f'p{n}.png', 'rb').read(), 'path': f'{n}.png'}, 'id': n} for n in range(3)]\n"
        "print(Dataset.from_list(rows).cast_column('image', Image()).to_csv('photos.csv'))"
    )
    summary = run(tmp_path, input=str(tmp_path / "photos.csv"))
    assert (summary.rows_out, summary.rejects) == (3, 0)
    export(open_output(str(tmp_path / "out.jsonl"), Filesystems()), ExportRequest("hf"), Filesystems())
    look = "print(json.dumps([row['image']['path'] for row in found.cast_column('image', Image(decode=False))]))"
    assert datasets(f"found = load_dataset('out.hf', split='train')\n{look}") == ["0.png", "1.png", "2.png"]
