"""Data sets on the Hugging Face Hub as inputs, read with the real `huggingface_hub` from a server of the tests' own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.commands import environment, regioncap
from tests.support.hub import hub_of
from tests.support.photos import write_photo
from tests.support.rows import BOX, read_rows

NAME = "user/photos"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, bytes]:
    """The files of a data set: two of rows with images, and what is no input."""
    found = {"README.md": b"# Photos", "data/notes.txt": b"none"}
    for index in range(2):
        images = [write_photo(tmp_path / f"{index}{row}.png", 2 * index + row).read_bytes() for row in range(2)]
        values = [{"bytes": image, "path": f"{row}.png"} for row, image in enumerate(images)]
        pq.write_table(pa.table({"image": values, "bbox": [[BOX]] * 2}), tmp_path / "x.parquet")
        found[f"data/train-{index}.parquet"] = (tmp_path / "x.parquet").read_bytes()
    return found


def test_a_data_set_is_captioned_and_not_read_again(
    tmp_path: Path, prefect_server: None, files: dict[str, bytes]
) -> None:
    command = ("run", f"hf://datasets/{NAME}/data/*.parquet", "--captioner", "pixels", "--output", "out.jsonl")
    column = pq.ParquetFile(pa.BufferReader(files["data/train-0.parquet"])).metadata.row_group(0).column(0)
    images = f"bytes={column.dictionary_page_offset or column.data_page_offset}-"
    with hub_of(NAME, files) as (url, seen):
        about_hub = {"HF_ENDPOINT": url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
        ended = regioncap(tmp_path, *command, **about_hub)
        assert ended.returncode == 0, ended.stderr
        found = [(row["image"], row["meta_info"]["image_row"]) for row in read_rows(tmp_path / "out.jsonl")]
        names = [f"hf://datasets/{NAME}/data/train-{index}.parquet" for index in range(2)]
        assert found == [(name, row) for name in names for row in (1, 2)]
        assert len([part for _, part in seen if part.startswith(images)]) == 2
        seen.clear()
        assert regioncap(tmp_path, *command, **about_hub).returncode == 0
        assert not [part for _, part in seen if part.startswith(images)]


def test_without_its_package_the_extra_is_named(tmp_path: Path, prefect_server: None) -> None:
    hidden = "import sys; sys.modules['huggingface_hub'] = None; from regioncap.command.app import main; main()"
    command = [sys.executable, "-c", hidden, "run", f"hf://datasets/{NAME}", "--captioner", "pixels"]
    ended = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=300)
    assert ended.returncode != 0
    assert "pip install 'regioncap[hf]'" in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr
