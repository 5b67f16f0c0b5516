"""The page of a comparison: whatever is in captions, names and options, it shows it and does nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from regioncap.config.model import RegionCapConfig
from regioncap.output.pictures import Pictures
from regioncap.output.reading import Captioned, Written, captioned
from regioncap.report.side_by_side import Side, SideBySide, write_side_by_side
from regioncap.storage.filesystem import Filesystems
from tests.support.outputs import EVIL_CAPTIONS, EVIL_NAMES, output_row
from tests.support.pages import chromium, needs_chromium
from tests.support.photos import write_photo

OPTION = "prompt=</style><script>document.title='owned'</script> --with a long text that says what is to be described"


@pytest.fixture
def config(tmp_path: Path) -> RegionCapConfig:
    return RegionCapConfig(input=str(tmp_path / "in.jsonl"), output=str(tmp_path / "out.jsonl"), captioner="pixels")


def row_of(config: RegionCapConfig, number: int, image: str, captions: list[str]) -> Captioned:
    return captioned(output_row(image, captions), number, config)


def write(config: RegionCapConfig, sides: list[Side], words: tuple[str, ...] = ()) -> Path:
    """The page of these sides, beside where the output would be."""
    files = Filesystems()
    place = files.place(config.output.replace(".jsonl", ".html"))
    figures = [("consistent", ["91.0 % (88.0 to 94.0 %)"] * len(sides)), ("rows captioned", ["5 of 5"] * len(sides))]
    page = SideBySide("photos", sides, figures, words)
    write_side_by_side(page, config, Pictures(Written(files.place(config.output), config), files), place)
    return Path(place.address)


@pytest.fixture
def evil(tmp_path: Path, config: RegionCapConfig) -> Path:
    """A page of four settings, with every kind of text that breaks pages."""
    for number, image in enumerate(EVIL_NAMES):
        write_photo(tmp_path / image, number)
    texts = [EVIL_CAPTIONS[n : n + 3] or ["nothing"] for n in range(0, 15, 3)]
    rows = {n: row_of(config, n, image, texts[n - 1]) for n, image in enumerate(EVIL_NAMES, 1)}
    other = {
        n: row_of(config, n, image, ["A dog on a lawn."] * len(texts[n - 1])) for n, image in enumerate(EVIL_NAMES, 1)
    }
    reject = {"code": "captions_incomplete", "message": "<img src=x onerror=alert(1)>", "image": "gone.png"}
    sides = [
        Side("as given", rows, {}), Side(OPTION, other, {}), Side("dim=0.5", {2: rows[2]}, {1: reject, 6: reject}),
        Side("model=other", {}, {}, stopped="knows no model <b>'other'</b>"),
    ]  # fmt: skip
    return write(config, sides, ("“a” and “b”: the intervals overlap.",))


def test_nothing_of_rows_and_options_becomes_markup(evil: Path) -> None:
    page = evil.read_text(encoding="utf-8")
    assert not re.search(r"<(?:script|b|img src=x)\b(?!>\d|>captions_incomplete)", page)
    assert "document.title=&#39;owned&#39;" in page
    assert page.count('<img src="data:image/webp;base64,') == len(EVIL_NAMES)


def test_each_region_has_the_captions_of_all_settings(tmp_path: Path, config: RegionCapConfig) -> None:
    write_photo(tmp_path / "a.png", 1)
    first = row_of(config, 1, "a.png", ["a cup", "a spoon"])
    fewer = first.only([1])
    page = write(config, [Side("one", {1: first}, {}), Side("two", {1: fewer}, {})]).read_text()
    cells = re.findall(r"<td[^>]*>(.*?)</td>", page.partition("<article")[2], re.DOTALL)
    texts = [re.sub(r"<[^>]+>|\s+", " ", cell).strip() for cell in cells]
    assert texts == ["", "a cup", "not one of its regions", "a spoon", "a spoon"]


def test_a_picture_that_is_gone_is_said(config: RegionCapConfig) -> None:
    page = write(config, [Side("one", {1: row_of(config, 1, "gone.png", ["a cup"])}, {})]).read_text()
    assert "gone.png" in page
    assert 'class="gone"' in page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_and_keeps_to_its_policy(browser: Browser, evil: Path, scheme: str) -> None:
    context = browser.new_context(viewport={"width": 1300, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    page, troubles = context.new_page(), []
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("dialog", lambda dialog: troubles.append(dialog.message))
    page.goto(evil.as_uri())
    assert page.title() == "photos · RegionCap"
    assert troubles == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 1300
    columns = page.locator(".card").first.locator("thead th")
    boxes = [columns.nth(place).bounding_box() for place in range(columns.count())]
    assert [box is not None and box["width"] > 150 for box in boxes] == [True] * 3
    colours = "getComputedStyle(document.body).backgroundColor !== getComputedStyle(document.body).color"
    assert page.evaluate(colours)
    context.close()
