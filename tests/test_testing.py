"""The contract tests that authors of plugins import: what holds passes, what does not is said in words."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from regioncap.plugins import CaptionTask, ExportOptions, ExportResult, Place, Regions, RowReject, Rows
from regioncap.testing import check_captioner, check_export, check_extractor

counter = itertools.count()


def corners(image: Any, size: int = 5) -> Any:
    return Regions([[0, 0, size, size]], scores=[0.5], labels=["corner"]) if image.std() else []


class Detector:
    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, image: Any) -> Any:
        return [[0, 0, self.size, self.size]]


def moody(image: Any) -> Any:
    return [[0, 0, 1 + next(counter), 5]]


def xyxys(image: Any) -> Any:
    return np.zeros((3, 6))


def large_only(image: Any) -> Any:
    return [[0, 0, 3, 300 // (image.shape[0] // 10)]]


class Later:
    async def __call__(self, image: Any) -> Any:
        return []

    async def caption(self, task: CaptionTask) -> Any:
        return []


def test_good_finders_pass() -> None:
    check_extractor(corners)
    check_extractor(corners, size=7)
    check_extractor(Detector, size=3)
    check_extractor("tests.test_testing:corners")


BAD_FINDERS: dict[str, tuple[Any, dict[str, Any], str]] = {
    "another each time": (moody, {}, "expected the same regions each time"),
    "six columns": (xyxys, {}, r"a photo, 320x240: .*shape \(3, 6\); expected \(N, 4\)"),
    "only large ones": (large_only, {}, "a tiny picture, 1x1: .*ZeroDivisionError"),
    "an option": (Detector, {"sise": 3}, "missing a required argument: 'size'"),
    "a name": ("tests.test_testing:cornres", {}, "did you mean corners"),
    "async": (Later, {}, r"expected __call__\(self, image\) to be a function as others, got an async one"),
}


@pytest.mark.parametrize("case", BAD_FINDERS)
def test_bad_finders_are_told_what_is_wrong(case: str) -> None:
    find, options, expected = BAD_FINDERS[case]
    with pytest.raises(AssertionError, match=expected):
        check_extractor(find, **options)


class Own:
    def __init__(self, model: str = "m", word: str = "thing") -> None:
        self.model, self.word = model, word

    def caption(self, task: CaptionTask) -> Any:
        return [f"a {self.word} {task.crop(number).shape}" for number in task.regions]


class Moody(Own):
    def identity(self) -> int:
        return next(counter)


class Sparse(Own):
    def caption(self, task: CaptionTask) -> Any:
        return dict.fromkeys(task.regions)


class Failing(Own):
    def caption(self, task: CaptionTask) -> Any:
        raise RowReject("caption_failed", "too dark")


def labelled(task: CaptionTask) -> Any:
    return {number: task.region_fields[number - 1]["label"] for number in task.regions}


def test_good_captioners_pass() -> None:
    check_captioner(Own, model="other", word="cup")
    check_captioner(labelled)


BAD_CAPTIONERS: dict[str, tuple[Any, dict[str, Any], str]] = {
    "another each time": (Moody, {}, "expected the same from two instances"),
    "none": (Sparse, {}, "region 1: no caption"),
    "rejects": (Failing, {}, "too dark"),
    "an option": (Own, {"wrod": "x"}, "'wrod'"),
    "no method": (Detector, {"size": 3}, r"expected a class with caption\(self, task\)"),
    "async": (Later, {}, r"expected caption\(self, task\) to be a function as others, got an async one"),
}


@pytest.mark.parametrize("case", BAD_CAPTIONERS)
def test_bad_captioners_are_told_what_is_wrong(case: str) -> None:
    make, options, expected = BAD_CAPTIONERS[case]
    with pytest.raises(AssertionError, match=expected):
        check_captioner(make, **options)


def _write(rows: Iterator[Any], out: Place, count: bool = True) -> ExportResult:
    done = ExportResult(files=[out.url])
    with out.writer() as file:
        for row in rows:
            file.write(repr(row.captions).encode())
            if count:
                done.count(row)
    return done


def whole(rows: Rows, out: Place, options: ExportOptions) -> ExportResult:
    return _write(rows(), out)


def uncounted(rows: Rows, out: Place, options: ExportOptions) -> ExportResult:
    return _write(rows(), out, count=False)


def at_once(rows: Rows, out: Place, options: ExportOptions) -> ExportResult:
    done = ExportResult(files=[out.url])
    for row in rows():
        out.write(repr(row.captions).encode())
        done.count(row)
    return done


def nothing(rows: Rows, out: Place, options: ExportOptions) -> ExportResult:
    done = ExportResult(files=[out.url])
    for row in rows():
        done.count(row)
    return done


def test_a_good_export_passes() -> None:
    check_export(whole)


BAD_EXPORTS: dict[str, tuple[Callable[..., Any], str]] = {
    "counts none": (uncounted, "expected 3 rows counted or left out, got 0"),
    "leaves half": (at_once, "expected nothing when the rows end in an error"),
    "writes nothing": (nothing, "expected something at"),
    "returns nothing": (lambda rows, out, options: None, "expected it to return ExportResult, got NoneType"),
}


@pytest.mark.parametrize("case", BAD_EXPORTS)
def test_bad_exports_are_told_what_is_wrong(case: str) -> None:
    write, expected = BAD_EXPORTS[case]
    with pytest.raises(AssertionError, match=expected):
        check_export(write)


def test_it_needs_no_pytest_and_no_prefect() -> None:
    code = "import sys, regioncap.testing, regioncap.plugins; print({'pytest', 'prefect'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "set()"
