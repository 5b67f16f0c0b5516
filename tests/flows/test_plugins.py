"""Runs with finders, captioners and exports of a user's own."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from regioncap.captioners.fake_server import Behaviour, RunningServer
from regioncap.errors import BudgetReached, CaptionerError, UsageError
from regioncap.preflight.check import plugin_hints
from regioncap.records import Step
from regioncap.run.context import RunContext
from regioncap.storage.steps import digest
from regioncap.tasks.extract import EXTRACT
from tests.support.commands import call
from tests.support.outputs import output_row
from tests.support.photos import draw_photo, write_photo
from tests.support.plugins import importable, write_package
from tests.support.rows import BOX, read_rows, write_rows
from tests.support.runs import Run, config_of
from tests.support.steps import Made, make_all

FINDERS = """
import threading

import numpy as np
from regioncap.plugins import CaptionerError, Regions, RowReject

seen, inside = [], threading.Lock()


def labelled(image, label="cat", fail=()):
    seen.append(image.shape)
    image[:] = 0  # its own copy
    if image.shape[1] in fail:
        raise ValueError("odd width")
    return Regions([[2, 3, 20, 20], [30, 10, 30, 30]], scores=[0.5, 0.75], labels=[label, "dog"])


labelled.version = 1


def exits(image):
    raise SystemExit(2)


def interrupts(image):
    raise KeyboardInterrupt


def refuses(image):
    raise RowReject("image_unreadable", "too dark")


def stops(image):
    raise CaptionerError("the licence has expired")


def nothing(image):
    return None


def outside(image):
    return [[-50, -50, 10, 10]]


def alone(image):
    assert inside.acquire(blocking=False)
    try:
        for _ in range(2000):
            np.sort(image)
    finally:
        inside.release()
    return [[1, 1, 20, 20]]


alone.thread_safe = False


def colours(image):
    assert image[0, 0].tolist() == [200, 100, 50], image[0, 0]
    return [[0, 0, 5, 5]]


def small(image):
    assert max(image.shape) == 48
    return [[0, 0, 48, 32]]


small.long_side = 48
"""
CAPTIONERS = """
from regioncap.plugins import CaptionerError, RowReject

calls = []


class Own:
    version = 1

    def __init__(self, model="own", word="thing", wrong=""):
        self.model, self.word, self.wrong, self.closed = model, word, wrong, False

    def caption(self, task):
        calls.append(task)
        if self.wrong == "raises":
            raise OSError("no network")
        if self.wrong == "exits":
            raise SystemExit
        if self.wrong == "stops":
            raise CaptionerError("no licence")
        if self.wrong == "rejects":
            raise RowReject("caption_failed", "too blurred")
        if self.wrong == "misses" and len(calls) == 1:
            return {task.regions[0]: "first", **dict.fromkeys(task.regions[1:])}
        if self.wrong == "none":
            return None
        if self.wrong == "labels":
            return ["as in <region2>"] * len(task.regions)
        labels = [task.region_fields[number - 1]["label"] if task.region_fields else "" for number in task.regions]
        return [f"a {self.word} {label} {task.crop(n).shape}" for n, label in zip(task.regions, labels)]


class Other(Own):
    pass


def free(task):
    return {number: f"{len(task.marked_jpeg) > 0} {task.prompt}" for number in task.regions}


free.paid = False
"""
EXPORTS = """
from regioncap.plugins import ExportResult


def write(rows, out, options):
    done = ExportResult(files=[out.url])
    with out.writer() as file:
        for row in rows():
            file.write(f"{row.image} {row.fields}\\n".encode())
            done.count(row)
    return done


write.ending = ".own.txt"


def fails(rows, out, options):
    with out.writer() as file:
        file.write(b"half")
        raise ValueError("no more")


def forgets(rows, out, options):
    return ExportResult(files=[out.url])


def silent(rows, out, options):
    pass
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A project with plugins, and four photos without boxes."""
    write_package(tmp_path, "own_pkg", finders=FINDERS, captioners=CAPTIONERS, exports=EXPORTS)
    names = [write_photo(tmp_path / f"{number}.png", number).name for number in range(4)]
    write_rows(tmp_path / "photos.jsonl", [{"image": name} for name in names])
    with importable(tmp_path, "own_pkg"):
        yield tmp_path


def made(folder: Path, **settings: Any) -> Made:
    with closing(RunContext(config_of(folder, **settings))) as context:
        return make_all(context)


def own(name: str) -> Any:
    return importlib.import_module(f"own_pkg.{name}")


# --- finders


def test_labels_and_scores_become_region_fields(folder: Path) -> None:
    rows = made(folder, extractor="own_pkg.finders:labelled", extractor_options={"label": "bird"}).rows
    meta = rows[0]["meta_info"]
    assert meta["bbox"] == [[30, 10, 30, 30], [2, 3, 20, 20]]
    assert meta["region_fields"] == {"label": ["dog", "bird"], "score": [0.75, 0.5]}
    assert own("finders").seen[0] == (64, 96, 3)


def test_labels_are_there_for_prompts(folder: Path) -> None:
    prompts = {"prompt": "See {regions}", "region_prompt": "{n} a {label} {score:.1f}", "system_prompt": ""}
    made_rows = made(folder, extractor="own_pkg.finders:labelled", captioner="own_pkg.captioners:free", **prompts).rows
    assert made_rows[0]["mdvp_record"][0] == "<region1> True See 1 a dog 0.8, 2 a cat 0.5"


def test_rows_that_bring_boxes_bring_their_own_fields(folder: Path) -> None:
    write_rows(folder / "photos.jsonl", [{"image": "0.png"}, {"image": "1.png", "bbox": [BOX], "label": ["cup"]}])
    found, given = made(folder, extractor="own_pkg.finders:labelled", region_fields=["label"]).rows
    assert found["meta_info"]["region_fields"] == {"label": ["dog", "cat"], "score": [0.75, 0.5]}
    assert given["meta_info"]["region_fields"] == {"label": ["cup"]}


def test_a_finder_that_fails_for_one_picture_stops_no_other(folder: Path) -> None:
    write_rows(folder / "photos.jsonl", [{"image": f"{number}.png"} for number in range(5)])
    cv2.imwrite(str(folder / "4.png"), draw_photo(4, width=90))
    done = made(folder, extractor="own_pkg.finders:labelled", extractor_options={"fail": [90]})
    assert (len(done.rows), done.codes()) == (4, ["internal_error"])
    message = done.rejects[0]["message"]
    assert "extractor 'own_pkg.finders:labelled' raised ValueError: odd width (finders.py, line 14)" in message
    assert "report" not in message


REJECTED = {
    "exits": ("internal_error", "raised SystemExit: 2"),
    "interrupts": ("internal_error", "raised KeyboardInterrupt"),
    "refuses": ("image_unreadable", "too dark"),
    "nothing": ("internal_error", "returned None; expected boxes"),
    "outside": ("no_valid_boxes", "outside"),
}


@pytest.mark.parametrize("name", REJECTED)
def test_what_a_finder_raises_or_returns_is_the_rows_reject(folder: Path, name: str) -> None:
    code, words = REJECTED[name]
    done = made(folder, extractor=f"own_pkg.finders:{name}")
    assert done.codes() == [code] * 4
    assert words in done.rejects[0]["message"]


def test_a_finder_may_stop_the_run(folder: Path) -> None:
    with pytest.raises(CaptionerError, match="licence"):
        made(folder, extractor="own_pkg.finders:stops")


def test_a_finder_that_is_not_thread_safe_is_called_by_one_at_a_time(folder: Path) -> None:
    assert len(made(folder, extractor="own_pkg.finders:alone", threads=4).rows) == 4


def test_pictures_are_rgb_and_of_the_size_that_the_finder_wants(folder: Path) -> None:
    image = np.full((64, 96, 3), (50, 100, 200), np.uint8)
    image[32:, 48:] = 0
    cv2.imwrite(str(folder / "0.png"), image)
    assert made(folder, extractor="own_pkg.finders:colours", limit=1).rows
    assert made(folder, extractor="own_pkg.finders:small", limit=1).rows[0]["meta_info"]["bbox"] == [[0, 0, 96, 64]]


def extract_key(folder: Path, **settings: Any) -> str:
    with closing(RunContext(config_of(folder, **settings))) as context:
        return digest(EXTRACT.parts(context, Step(2, 0, "k", "b" * 64, 4, 0)))


def test_the_key_of_extract_has_the_finders_version_and_options(folder: Path) -> None:
    finder = {"extractor": "own_pkg.finders:labelled"}
    keys = [extract_key(folder, **finder), extract_key(folder, **finder, extractor_options={"label": "x"})]
    own("finders").labelled.version = 2
    keys.append(extract_key(folder, **finder))
    assert len(set(keys)) == 3


# --- captioners


def test_answers_are_kept_and_never_asked_for_twice(folder: Path, run: Run) -> None:
    settings = {"captioner": "own_pkg.captioners:Own", "extractor": "own_pkg.finders:labelled"}
    summary = run(folder, **settings)
    assert (summary.captioner, summary.model, summary.requests) == ("own_pkg.captioners:Own", "own", 4)
    rows = read_rows(folder / "out.jsonl")
    assert rows[0]["mdvp_record"] == ["<region1> a thing dog (30, 30, 3)", "<region2> a thing cat (20, 20, 3)"]
    assert rows[0]["meta_info"]["usage"] == {"requests": 1}
    for step in range(7):
        shutil.rmtree(folder / "cache" / f"regioncap_step{step}")
    assert run(folder, **settings).requests == 0
    assert len(own("captioners").calls) == 4


def keys_of(folder: Path, **settings: Any) -> str:
    with closing(RunContext(config_of(folder, **settings))) as context:
        return json.dumps(context.captioner.identity(), sort_keys=True)


def test_no_two_captioners_share_answers(folder: Path) -> None:
    kinds: list[dict[str, Any]] = [
        {"captioner": "own_pkg.captioners:Own"}, {"captioner": "own_pkg.captioners:Other"},
        {"captioner": "own_pkg.captioners:Own", "model": "m"},
        {"captioner": "own_pkg.captioners:Own", "captioner_options": {"word": "w"}},
    ]  # fmt: skip
    assert len({keys_of(folder, **settings) for settings in kinds}) == 4
    own("captioners").Own.identity = lambda self: {"weights": 3}
    assert keys_of(folder, **kinds[0]) == keys_of(folder, **kinds[3])
    assert keys_of(folder, **kinds[0]) != keys_of(folder, **kinds[1])


WRONG = {
    "raises": ("internal_error", "captioner 'own_pkg.captioners:Own' raised OSError: no network (captioners.py, line"),
    "exits": ("internal_error", "raised SystemExit"),
    "rejects": ("caption_failed", "too blurred"),
    "none": ("internal_error", "returned None; expected a list of texts"),
    "labels": ("captions_incomplete", "the label of a region in its caption"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_a_captioner_raises_or_returns_is_the_rows_reject(folder: Path, wrong: str) -> None:
    code, words = WRONG[wrong]
    done = made(folder, captioner="own_pkg.captioners:Own", captioner_options={"wrong": wrong})
    assert done.codes() == [code] * 4
    assert words in done.rejects[0]["message"]


def test_missing_regions_are_asked_for_again(folder: Path) -> None:
    settings = {"captioner": "own_pkg.captioners:Own", "extractor": "own_pkg.finders:labelled", "limit": 1}
    row = made(folder, **settings, captioner_options={"wrong": "misses"}).rows[0]
    assert row["mdvp_record"] == ["<region1> first", "<region2> a thing cat (20, 20, 3)"]
    assert row["meta_info"]["usage"] == {"requests": 2, "repaired": 1}
    assert [task.regions for task in own("captioners").calls] == [(1, 2), (2,)]


def test_a_captioner_keeps_to_the_limit_of_requests(folder: Path) -> None:
    with pytest.raises(BudgetReached, match="max_requests=2 is reached"):
        made(folder, captioner="own_pkg.captioners:Own", max_requests=2, max_in_flight=1)
    assert len(own("captioners").calls) == 2


def test_a_captioner_may_stop_the_run(folder: Path) -> None:
    with pytest.raises(CaptionerError, match="no licence"):
        made(folder, captioner="own_pkg.captioners:Own", captioner_options={"wrong": "stops"})


def test_many_regions_come_in_groups_that_one_picture_can_show(folder: Path) -> None:
    boxes = [[number * 4, 4, 3, 30] for number in range(12)]
    write_rows(folder / "photos.jsonl", [{"image": "0.png", "bbox": boxes}])
    settings = {"captioner": "own_pkg.captioners:Own", "max_boxes": 12, "marks_per_request": 6}
    assert len(made(folder, **settings).rows[0]["mdvp_record"]) == 12
    assert sorted(task.regions for task in own("captioners").calls) == [tuple(range(1, 7)), tuple(range(7, 13))]


def test_an_identity_that_is_no_json_is_refused(folder: Path) -> None:
    own("captioners").Own.identity = lambda self: {"weights": object()}
    with pytest.raises(UsageError, match=r"expected its identity\(\) to be JSON values"):
        keys_of(folder, captioner="own_pkg.captioners:Own")


# --- exports, and outputs whose plugins are gone


@pytest.fixture
def output(folder: Path) -> Path:
    """An output that plugins made."""
    from regioncap.flows.region_caption import region_caption

    settings = {"captioner": "own_pkg.captioners:Own", "extractor": "own_pkg.finders:labelled"}
    region_caption(config_of(folder, **settings))
    return folder / "out.jsonl"


def test_an_output_can_be_used_when_its_plugins_are_gone(
    output: Path, prefect_server: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(capsys, "export", str(output), "--to", "own_pkg.exports:write").code == 0
    text = (output.parent / "out.own.txt").read_text()
    assert text.startswith("0.png {'label': ['dog', 'cat'], 'score': [0.75, 0.5]}")
    shutil.rmtree(output.parent / "own_pkg")
    for name in [name for name in sys.modules if name.startswith("own_pkg")]:
        del sys.modules[name]
    for command in (["export", str(output), "--to", "csv"], ["report", str(output)]):
        ended = call(capsys, *command)
        assert ended.code == 0, ended
    cache = ["--cache-path", str(output.parent / "cache")]
    assert call(capsys, "prune", *cache, "--marks").code == 0
    for command in (["explain", str(output)], ["steps", str(output), "3"], ["prune", *cache, "--answers", "--dry-run"]):
        ended = call(capsys, *command)
        assert (ended.code, "there is no module 'own_pkg'" in ended.err) == (2, True), ended


BAD_EXPORTS = {
    "fails": (1, "export 'own_pkg.exports:fails' raised ValueError: no more (exports.py, line"),
    "forgets": (1, "counted no rows; expected ExportResult.count(row)"),
    "silent": (1, "returned NoneType; expected ExportResult"),
    "wirte": (2, "did you mean write?"),
}


@pytest.mark.parametrize("name", BAD_EXPORTS)
def test_an_export_that_fails_leaves_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, make_output: Any
) -> None:
    path = make_output([output_row("0.png", ["a cup"])])
    before = set(folder.iterdir())
    ended = call(capsys, "export", str(path), "--to", f"own_pkg.exports:{name}")
    code, words = BAD_EXPORTS[name]
    assert (ended.code, words in ended.err) == (code, True), ended
    assert set(folder.iterdir()) == before


def test_the_model_is_asked_with_the_labels_that_a_finder_gave(folder: Path, run: Run) -> None:
    prompts = {"prompt": "Describe {regions}.", "region_prompt": "<region{n}> (a {label})"}
    with RunningServer(Behaviour(latency=0.0)) as server:
        model = {"captioner": "openai", "model": "fake-vlm", "endpoint": [server.url]}
        run(folder, extractor="own_pkg.finders:labelled", limit=1, **model, **prompts)
    (row,) = read_rows(folder / "out.jsonl")
    assert row["meta_info"]["prompt"] == "Describe <region1> (a dog), <region2> (a cat)."


def test_a_plugin_without_a_version_is_told_what_that_means(folder: Path) -> None:
    hints = plugin_hints(config_of(folder, extractor="own_pkg.finders:small", captioner="own_pkg.captioners:Own"))
    assert hints == [
        "extractor: own_pkg.finders:small has no attribute `version`; raise one whenever its results change, since "
        "what is cached of it is used until then"
    ]
