"""Contract tests for plugins of your own: each raises AssertionError, with what was expected, where one does not hold.

    from regioncap.testing import check_extractor
    from my_pkg.yolo import Detector

    def test_the_detector() -> None:
        check_extractor(Detector, model="tests/tiny.onnx")

They need no pytest. They call the plugin as a run does, in threads too, on small pictures made here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from regioncap.captioners.base import CaptionerOptions, CaptionRequest, CaptionResult
from regioncap.captioners.plugin_captioner import PluginCaptioner
from regioncap.config.model import RegionCapConfig
from regioncap.config.plugin_names import CAPTIONER, EXPORT, EXTRACTOR, PluginKind
from regioncap.errors import RegionCapError
from regioncap.exports.base import ExportOptions, ExportResult
from regioncap.image_ref import ImageRef
from regioncap.output.reading import Captioned
from regioncap.plugin_loading import Plugin, find_plugin
from regioncap.storage.filesystem import DEFAULT_FILESYSTEMS, Place
from regioncap.vision.drawing import draw_marks
from regioncap.vision.images import encode_image, encode_jpeg
from regioncap.vision.plugin_finder import PluginFinder

SIZES = {"a photo": (320, 240), "a tall picture": (60, 300), "a tiny picture": (1, 1)}
"""The pictures that finders are tried on: width and height in pixels."""

BOXES = [[40, 30, 120, 90], [180, 100, 80, 120], [0, 0, 320, 240]]

Pixels = npt.NDArray[np.uint8]


def check_extractor(find: str | Callable[..., Any], *, max_boxes: int = 10, **options: Any) -> None:
    """Check a region finder: the function or class, or its name as `extractor` has it. `options`: `extractor_options`.

    On pictures of several sizes, a plain one and a tiny one: it returns boxes, or `Regions`; the same for the same
    picture, also from several threads. Raises AssertionError.
    """
    finder = _refused_with_words(lambda: PluginFinder(_plugin(EXTRACTOR, find), options))
    _refused_with_words(finder.prepare)
    pictures = {name: picture_of(size) for name, size in SIZES.items()}
    pictures["a plain picture"] = np.full((240, 320, 3), 255, np.uint8)

    def found(name: str) -> Any:
        height, width = pictures[name].shape[:2]
        image = pictures[name].copy()
        try:
            return finder.find(image, (width, height), max_boxes=max_boxes, min_score=-np.inf)
        except RegionCapError as error:
            raise AssertionError(f"{name}, {width}x{height}: {error}") from error

    first = {name: found(name) for name in pictures}
    with ThreadPoolExecutor(4) as pool:
        for name, again in zip([*pictures] * 4, pool.map(found, [*pictures] * 4), strict=True):
            _expect(
                again == first[name],
                f"{name}: expected the same regions each time, also from several threads; got {first[name]} and "
                f"{again}. If only one thread at a time may call it: thread_safe = False",
            )
    finder.plugin.key_parts()


def check_captioner(make: str | Callable[..., Any], *, model: str | None = None, **options: Any) -> None:
    """Check a captioner: the class or function, or its name as `captioner` has it. `options`: `captioner_options`.

    It captions a picture with three regions, all of them and one alone, from several threads; its identity is the same
    for two instances of it. Raises AssertionError.
    """
    plugin = _refused_with_words(lambda: _plugin(CAPTIONER, make))
    settings: dict[str, Any] = {"input": "photos.jsonl", "captioner": "my_pkg:own", "captioner_options": options}
    config = _refused_with_words(lambda: RegionCapConfig(**settings, model=model, max_repairs=0))
    made = [_refused_with_words(lambda: PluginCaptioner(plugin, CaptionerOptions(config))) for _ in range(2)]
    identities = [captioner.identity() for captioner in made]
    _expect(identities[0] == identities[1], f"identity(): expected the same from two instances, got {identities}")
    try:
        made[0].check()
        for wanted in ((1, 2, 3), (2,)):
            futures = [made[0].submit(_request(wanted)) for _ in range(4)]
            for result in (future.result() for future in futures):
                _expect_captions(result, wanted)
    except RegionCapError as error:
        raise AssertionError(str(error)) from error
    finally:
        for captioner in made:
            captioner.close()


def _expect_captions(result: CaptionResult, wanted: tuple[int, ...]) -> None:
    _expect(set(result.captions) == set(wanted), f"regions {list(wanted)}: {result.message or 'captions are missing'}")


def check_export(write: str | Callable[..., Any]) -> None:
    """Check an export: the function, or its name as `--to` has it.

    It writes rows with all kinds of text, counts them, returns what it wrote, and leaves nothing behind when the rows
    end in an error. Raises AssertionError.
    """
    plugin = _refused_with_words(lambda: _plugin(EXPORT, write))
    rows = [_captioned(1, "a cup"), _captioned(2, 'said "no", ü, 猫\n<b>'), _captioned(3, "no field", fields=False)]
    with tempfile.TemporaryDirectory() as folder:
        done = plugin.target(lambda: iter(rows), _place(folder, "whole"), _options())
        _expect(isinstance(done, ExportResult), f"expected it to return ExportResult, got {type(done).__name__}")
        total = done.rows + sum(done.left_out.values())
        _expect(total == len(rows), f"expected {len(rows)} rows counted or left out, got {total}: count(row), made(…)")
        written = list(Path(folder).rglob("*"))
        _expect(bool(written), f"expected something at {folder}/whole, got nothing: write to `out`")
        _expect(bool(done.files), "expected the URLs of what was written in files, got none")
    with tempfile.TemporaryDirectory() as folder:
        broken = _Broken()
        try:
            plugin.target(lambda: broken.rows(rows), _place(folder, "half"), _options())
        except _Broken:
            pass
        else:
            raise AssertionError("expected an error of the rows to pass through, got a finished export")
        left = [path.name for path in Path(folder).rglob("*") if path.is_file()]
        _expect(
            not left, f"expected nothing when the rows end in an error, got {left}: use `with out.writer() as file`"
        )


class _Broken(Exception):
    def rows(self, rows: list[Captioned]) -> Iterator[Captioned]:
        yield rows[0]
        raise self


# --- what plugins are tried on


def picture_of(size_wh: tuple[int, int]) -> Pixels:
    """A picture of `size_wh` with some shapes in it: HxWx3 uint8, the same each time."""
    width, height = size_wh
    ramp = np.linspace(40, 200, width, dtype=np.uint8)
    image = np.repeat(np.tile(ramp, (height, 1))[..., None], 3, axis=2)
    image[height // 4 : height // 2, width // 8 : width // 2] = (30, 60, 220)
    image[height // 2 : height - height // 8, width // 2 : width - width // 8] = (40, 200, 60)
    return np.ascontiguousarray(image)


def _request(wanted: tuple[int, ...]) -> CaptionRequest:
    image = picture_of(SIZES["a photo"])
    height, width = image.shape[:2]
    marked = draw_marks(image, BOXES, full_size_wh=(width, height), dim=1.0)
    return CaptionRequest(
        name="photo.png", image=lambda: encode_image(image, ".png", 100), marked=lambda: encode_jpeg(marked, 90),
        width=width, height=height, bbox=BOXES, wanted=wanted,
        region_fields=[{"label": f"thing {number}", "score": 0.5} for number in range(len(BOXES))],
    )  # fmt: skip


def _captioned(number: int, text: str, fields: bool = True) -> Captioned:
    known = {"label": ["cup", None]} if fields else {}
    return Captioned(
        number=number, ref=ImageRef(f"photo{number}.png"), width=320, height=240,
        bbox=[[40.0, 30.0, 120.0, 90.0], [0, 0, 320, 240]], captions=[text, "a table"], regions=[1, 2],
        flags=[[], []], fields=known, row={"id": number}, meta={"type": "with_bbox"},
    )  # fmt: skip


def _place(folder: str, name: str) -> Place:
    return DEFAULT_FILESYSTEMS.place(str(Path(folder) / name))


def _options() -> ExportOptions:
    return ExportOptions(lambda ref: encode_image(picture_of(SIZES["a photo"]), ".png", 100))


# --- words


def _plugin(kind: PluginKind, given: str | Callable[..., Any]) -> Plugin:
    if isinstance(given, str):
        return find_plugin(kind, given)
    return Plugin(kind, f"{given.__module__}:{getattr(given, '__qualname__', 'it')}", given)


def _refused_with_words(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except RegionCapError as error:
        raise AssertionError(str(error)) from error


def _expect(holds: bool, message: str) -> None:
    if not holds:
        raise AssertionError(message)
