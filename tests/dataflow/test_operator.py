"""The operator on storages of all kinds, through the real flow."""

from __future__ import annotations

import asyncio
import gzip
import inspect
import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas
import pytest
from PIL import Image

from regioncap.captioners.fake_server import Behaviour, RunningServer
from regioncap.dataflow import (
    APIVLMServing_openai,
    ExistingBBoxDataGenConfig,
    FileStorage,
    ImageRegionCaptionGenerate,
    LocalModelVLMServing_vllm,
)
from regioncap.errors import ConfigError, RunStopped, StorageError, UsageError
from tests.support.rows import BOX, read_rows, write_rows

pytestmark = pytest.mark.usefixtures("prefect_server")

PIXELS = {"captioner": "pixels"}
STEP = "dataflow_cache_step_step1"


class Rows:
    """A storage that knows nothing of files: what an operator writes is kept as it is."""

    def __init__(self, rows: Any, **more: Any) -> None:
        self.rows = rows
        self.written: list[dict[str, Any]] = []
        vars(self).update(more)

    def read(self, output_type: str) -> Any:
        return self.rows

    def write(self, data: Any) -> None:
        self.written = data.to_dict(orient="records")


@pytest.fixture(autouse=True)
def here(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: six photos, and `in/photos.jsonl` which names them from here, as DataFlow does."""
    (project / "in").mkdir()
    (project / "photos.jsonl").rename(project / "in" / "photos.jsonl")
    monkeypatch.chdir(project)
    return project


def operator_of(**values: Any) -> ImageRegionCaptionGenerate:
    """An operator that needs no model."""
    values["settings"] = {**PIXELS, **values.get("settings", {})}
    return ImageRegionCaptionGenerate(None, ExistingBBoxDataGenConfig(**{"max_boxes": 3, **values}))


def storage_of(cache_type: Any = "jsonl", first: str = "in/photos.jsonl") -> FileStorage:
    return FileStorage(first, "cache", cache_type=cache_type)


def test_the_signatures_are_dataflows() -> None:
    run = inspect.signature(ImageRegionCaptionGenerate.run).parameters.values()
    named = [(one.name, one.default) for one in run if one.kind is one.POSITIONAL_OR_KEYWORD][2:]
    assert named == [("image_key", "image"), ("bbox_key", "bbox"), ("output_key", "mdvp_record")]
    config = ExistingBBoxDataGenConfig()
    assert (config.max_boxes, config.input_jsonl_path, config.output_jsonl_path) == (10, None, None)
    assert config.draw_visualization is True


def test_importing_the_names_is_quick() -> None:
    code = (
        "import sys, regioncap.dataflow; print({'prefect', 'pydantic', 'cv2', 'pandas', 'pyarrow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "set()"


def test_it_says_what_it_does_in_two_languages() -> None:
    english, chinese = (ImageRegionCaptionGenerate.get_desc(lang) for lang in ("en", "zh-CN"))
    assert ImageRegionCaptionGenerate.get_desc() == chinese != english
    assert all("mdvp_record" in text and "max_boxes" in text for text in (english, chinese))


@pytest.mark.parametrize("cache_type", ["jsonl", "json", "csv", "parquet"])
def test_the_next_operator_reads_the_captions(here: Path, cache_type: str) -> None:
    storage = storage_of(cache_type)
    assert operator_of().run(storage.step()) == ["mdvp_record"]
    rows = storage.step().read("dict")
    assert [row["id"] for row in rows] == [f"{number:03d}" for number in range(6)]
    assert [row["image"] for row in rows] == [f"photo{number}.png" for number in range(6)]
    assert rows[1]["mdvp_record"][0].startswith("<region1> ")
    assert list(rows[1]["meta_info"]["bbox"][0]) == BOX
    assert Path(rows[1]["meta_info"]["image_with_bbox"]).is_absolute()
    assert Path(rows[1]["meta_info"]["image_with_bbox"]).is_file()


@pytest.mark.parametrize("name", ["photos.jsonl.gz", "photos.TSV", "photos.csv", "photos.json"])
def test_images_are_relative_to_the_working_directory_whatever_the_format(here: Path, name: str) -> None:
    text = json.dumps({"image": "photo0.png"}) if "json" in name else "image\nphoto0.png\n"
    (here / "in" / name).write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    storage = storage_of(first=f"in/{name}")
    operator_of().run(storage.step())
    assert [row["image"] for row in storage.step().read("dict")] == ["photo0.png"]


def test_two_operators_in_a_row_each_have_their_step(here: Path) -> None:
    storage = storage_of()
    operator_of().run(storage.step())
    assert operator_of(max_boxes=1).run(storage.step(), output_key="again") == ["again"]
    rows = storage.step().read("dict")
    assert all(len(row["again"]) == 1 and row["mdvp_record"] for row in rows)


def test_the_captions_are_written_to_both_places(here: Path) -> None:
    operator_of(input_jsonl_path="in/photos.jsonl", output_jsonl_path=here / "out" / "captions.jsonl").run(
        storage_of(first="unused.jsonl").step()
    )
    assert (here / "cache" / f"{STEP}.jsonl").read_bytes() == (here / "out" / "captions.jsonl").read_bytes()
    assert (here / "out" / "captions.rejects.jsonl").exists()


def test_what_was_in_a_step_before_is_replaced(here: Path) -> None:
    (here / "cache").mkdir()
    write_rows(here / "cache" / f"{STEP}.jsonl", [{"image": "of another run"}])
    storage = storage_of()
    operator_of().run(storage.step())
    assert len(storage.step().read("dict")) == 6


@pytest.mark.parametrize(
    "names", [{"image_key": "img", "bbox_key": "boxes"}, {"input_image_key": "img", "input_bbox_key": "boxes"}]
)
def test_keys_have_the_names_of_either_version_of_dataflow(here: Path, names: dict[str, str]) -> None:
    write_rows(here / "in" / "photos.jsonl", [{"img": "photo1.png", "boxes": [BOX]}])
    storage = storage_of()
    operator_of().run(storage.step(), **names)
    assert storage.step().read("dict")[0]["meta_info"]["type"] == "with_bbox"


def test_rows_that_fail_are_rejects_beside_the_output(here: Path) -> None:
    rows = [{"image": "gone.png"}, {"image": "photo1.png", "bbox": [BOX]}, {"image": "photo2.png", "bbox": []}]
    write_rows(here / "in" / "photos.jsonl", [*rows, {"image": "photo3.png"}, {"image": "photo4.png"}])
    operator_of().run(storage_of("csv").step())
    rejects = read_rows(here / "cache" / f"{STEP}.regioncap.rejects.jsonl")
    assert [reject["code"] for reject in rejects] == ["image_missing", "no_boxes"]


def test_too_many_rejects_leave_the_next_step_as_it_was(here: Path) -> None:
    storage = storage_of()
    operator_of().run(storage.step())
    before = (here / "cache" / f"{STEP}.jsonl").read_bytes()
    write_rows(here / "in" / "photos.jsonl", [{"image": "gone.png"}, {"image": "photo1.png"}, {"image": "away.png"}])
    with pytest.raises(RunStopped, match=r"2 of 3 rows were rejected.*rejects: .*incomplete"):
        operator_of().run(storage.reset().step())
    assert (here / "cache" / f"{STEP}.jsonl").read_bytes() == before


# --- storages that keep no files


def test_rows_are_handed_over_and_back(here: Path) -> None:
    frame = pandas.DataFrame(
        {
            "image": ["photo0.png", "photo1.png", "photo2.png"],
            "bbox": [[BOX], float("nan"), None],
            "when": [pandas.Timestamp("2024-05-06"), pandas.NaT, pandas.NaT],
        }
    )
    storage = Rows(frame, cache_path="cache", file_name_prefix="步骤 1", operator_step=2)
    assert operator_of().run(storage) == ["mdvp_record"]
    kinds = [row["meta_info"]["type"] for row in storage.written]
    assert kinds == ["with_bbox", "without_bbox", "without_bbox"]
    assert storage.written[0]["when"] == "2024-05-06T00:00:00"
    assert len(list((here / "cache").glob("步骤 1_step3-*.regioncap.rejects.jsonl"))) == 1


def test_images_in_rows_are_captioned_and_handed_back(here: Path) -> None:
    data = [Path(f"photo{number}.png").read_bytes() for number in range(4)]
    images = [Image.open("photo0.png"), data[1], {"bytes": data[2], "path": None}, [data[3]], "photo4.png", 7, None]
    storage = Rows([{"image": image} for image in images])
    operator_of().run(storage)
    assert [row["image"] for row in storage.written] == images[:5]
    [rejects] = here.glob("dataflow-*.rejects.jsonl")
    assert len(read_rows(rejects)) == 2


def test_a_row_that_cannot_be_written_stops_no_other(here: Path) -> None:
    deep: Any = []
    deep.append(deep)
    storage = Rows([{"image": "photo0.png", "more": deep}, {"image": "photo1.png"}])
    operator_of().run(storage)
    assert [row["image"] for row in storage.written] == ["photo1.png"]
    [rejects] = here.glob("dataflow-*.rejects.jsonl")
    assert [reject["code"] for reject in read_rows(rejects)] == ["bad_row"]


@pytest.mark.parametrize("rows", ["rows", [1], [["photo0.png"]], None])
def test_what_is_no_rows_is_refused(rows: Any) -> None:
    with pytest.raises(UsageError, match="expected rows as a DataFrame or a list of dicts"):
        operator_of().run(Rows(rows))


def test_a_storage_that_fails_is_named() -> None:
    class Broken(Rows):
        def read(self, output_type: str) -> Any:
            raise ConnectionError("the database is away")

    with pytest.raises(StorageError, match="the storage Broken: ConnectionError: the database is away"):
        operator_of().run(Broken(None))


# --- wrong calls


@pytest.mark.parametrize("storage", [None, "in/photos.jsonl", object()], ids=["None", "a path", "an object"])
def test_what_is_no_storage_is_refused(storage: Any) -> None:
    with pytest.raises(UsageError, match=r"storage: expected a storage with read\(\) and write\(\)"):
        operator_of().run(storage)


@pytest.mark.parametrize(
    ("first", "rows", "message"),
    [
        ("gone.jsonl", None, "gone.jsonl does not exist"),
        ("empty.jsonl", [], "the input has no rows"),
        ("", None, "first_entry_file_name: is empty"),
        ("other.jsonl", [{"image": "photo0.png"}], "image_key: no row has the key 'img'; did you mean 'image'"),
    ],
)
def test_an_input_that_cannot_be_used_is_named(here: Path, first: str, rows: Any, message: str) -> None:
    if rows is not None:
        write_rows(here / first, rows)
    key = "img" if rows else "image"
    with pytest.raises((UsageError, RunStopped), match=message):
        operator_of().run(storage_of(first=first).step(), image_key=key)


def test_a_step_that_nobody_wrote_is_named() -> None:
    storage = storage_of()
    storage.step()
    with pytest.raises(UsageError, match=f"{STEP}.jsonl does not exist; expected what the operator before"):
        operator_of().run(storage.step())


def test_a_storage_before_its_first_step_is_refused() -> None:
    with pytest.raises(UsageError, match="is before its first step"):
        operator_of().run(storage_of())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_boxes": 0}, "max_boxes: expected"),
        ({"draw_visualization": "perhaps"}, "draw_visualization: expected"),
        ({"settings": {"record_stile": "joined"}}, "record_stile: there is no such setting; did you mean record_style"),
        ({"settings": {"output": "out.jsonl"}}, "settings: output is an argument of its own"),
        ({"output_jsonl_path": "out/"}, "output_jsonl_path: expected a file"),
        ({"output_jsonl_path": 5}, "output_jsonl_path: expected a path or URL, got 5"),
        ({"input_jsonl_path": ["a"]}, r"input_jsonl_path: expected a path or URL, got \['a'\]"),
    ],
)
def test_a_wrong_config_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        operator_of(**values).run(storage_of().step())


def test_a_wrong_value_of_the_serving_object_has_its_name_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DF_API_KEY", "sk-0123456789")
    operator = ImageRegionCaptionGenerate(APIVLMServing_openai(max_workers=0))
    with pytest.raises(ConfigError, match="max_workers: expected greater than or equal to 1, got 0"):
        operator.run(storage_of().step())


def test_settings_are_given_by_name() -> None:
    settings: Any = ["dim", 0.8]
    with pytest.raises(ConfigError, match="settings: expected settings by name"):
        ExistingBBoxDataGenConfig(settings=settings)


def test_a_config_of_dataflows_is_taken_by_what_it_has() -> None:
    values: dict[str, Any] = {
        "max_boxes": 4,
        "input_jsonl_path": "a.jsonl",
        "output_jsonl_path": None,
        "draw_visualization": False,
    }
    serving = LocalModelVLMServing_vllm("Qwen/tiny")
    assert ImageRegionCaptionGenerate(serving, SimpleNamespace(**values)).cfg == ExistingBBoxDataGenConfig(**values)


def test_only_its_own_config_is_taken() -> None:
    config: Any = {"max_boxes": 3}
    with pytest.raises(UsageError, match="config: expected an ExistingBBoxDataGenConfig, got dict"):
        ImageRegionCaptionGenerate(None, config)


# --- with a model


def test_a_model_is_asked_once(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_KEY", "sk-gateway-0123456789")
    with RunningServer(Behaviour(model="qwen", key="sk-gateway-0123456789")) as server:
        serving = APIVLMServing_openai(f"{server.url}/chat/completions", "GATEWAY_KEY", "qwen", max_workers=2)
        operator = ImageRegionCaptionGenerate(serving, ExistingBBoxDataGenConfig(max_boxes=3))
        storage = storage_of()
        bodies = server.record()
        operator.run(storage.step())
        asked = len(bodies)
        operator.run(storage.reset().step())
        assert len(bodies) == asked
    assert not any("temperature" in body for body in bodies)
    assert "sk-gateway" not in "".join(path.read_text("utf-8", "replace") for path in here.rglob("*.json*"))


# --- where it may be called from


def test_it_runs_in_an_event_loop_twice() -> None:
    async def notebook() -> list[list[str]]:
        storage = storage_of()
        return [operator_of().run(storage.step()) for _ in range(2)]

    assert asyncio.run(notebook()) == [["mdvp_record"]] * 2


def test_threads_may_run_it_at_once(here: Path) -> None:
    together = threading.Barrier(2, timeout=60)

    def call(number: int) -> int:
        storage = FileStorage("in/photos.jsonl", f"cache{number}")
        together.wait()
        operator_of().run(storage.step())
        return len(storage.step().read("dict"))

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(call, range(2))) == [6, 6]


# --- the old ways, as docs/dataflow.md has them


def test_settings_give_dataflows_own_ways(here: Path) -> None:
    write_rows(here / "in" / "photos.jsonl", [{"image": "gone.png"}, {"image": "photo1.png", "bbox": [BOX, BOX]}])
    settings = {"record_style": "joined", "dim": 0.8, "extractor": "adaptive", "max_reject_share": 1}
    operator_of(settings=settings).run(storage_of().step())
    [row] = read_rows(here / "cache" / f"{STEP}.jsonl")  # most rows were rejected, and the others are there
    [record] = row["mdvp_record"]
    assert [line.split()[0] for line in record.split("\n")] == ["<region1>", "<region2>"]
    paths = row["image"], row["meta_info"]["image_with_bbox"]
    plain, marked = (np.asarray(Image.open(path))[:, 70:].mean() for path in paths)  # beside the marks
    assert marked == pytest.approx(0.8 * plain, rel=0.02)


def test_boxes_of_another_finder_keep_their_numbers(here: Path) -> None:
    box = [19.1299991607666, 3.5, 28.25, 31.75]
    write_rows(here / "in" / "photos.jsonl", [{"image": "photo1.png", "bbox": [box]}])
    operator_of().run(storage_of().step())
    [row] = read_rows(here / "cache" / f"{STEP}.jsonl")
    assert row["meta_info"]["bbox"] == [box]


def test_without_pictures_none_is_named(here: Path) -> None:
    operator_of(draw_visualization=False).run(storage_of().step())
    rows = read_rows(here / "cache" / f"{STEP}.jsonl")
    assert {row["meta_info"]["image_with_bbox"] for row in rows} == {""}
