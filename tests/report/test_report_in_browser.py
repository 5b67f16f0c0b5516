"""The page in a real browser: it opens from disk, keeps to its policy, and does what it says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.outputs import Make, output_row
from tests.support.pages import chromium, needs_chromium, open_page, page_of
from tests.support.photos import write_photo

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


def boxes(page: Page, card: int) -> list[str]:
    """The regions of a card whose boxes are lit."""
    lit = page.locator(".card").nth(card).locator("svg g.lit")
    return [lit.nth(place).get_attribute("data-r") or "" for place in range(lit.count())]


@pytest.fixture
def report(tmp_path: Path, make_output: Make) -> Path:
    """Six rows and two rejects; row n has n regions, the third is flagged."""
    rows = []
    for number in range(1, 7):
        write_photo(tmp_path / f"p{number}.png", number)
        captions = [f"A thing {'of wood' if number % 2 else 'of tin'}, {n}." for n in range(1, number + 1)]
        flags = {"flags": [["repeats"], [], []]} if number == 3 else {}
        rows.append(output_row(f"p{number}.png", captions, meta=flags))
    rejects = tuple(
        {"line": 7 + n, "row": {"image": "p1.png"}, "step": "route", "code": code, "message": "what was wrong"}
        for n, code in enumerate(("no_boxes", "bad_bbox"))
    )
    page_of(make_output(rows, rejects))
    return tmp_path / "out.report.html"


def test_hovering_lights_both_ways(browser: Browser, report: Path) -> None:
    opened = open_page(browser, report)
    page = opened.page
    third = page.locator(".card").nth(2)
    third.locator("li").nth(1).hover()
    assert boxes(page, 2) == ["2"]
    third.locator('svg g[data-r="3"] rect').hover(position={"x": 2, "y": 2}, force=True)
    expect(third.locator("li.lit")).to_have_attribute("data-r", "3")
    page.locator("h1").hover()
    assert boxes(page, 2) == []
    assert opened.troubles == []


def test_filters_search_and_sort(browser: Browser, report: Path) -> None:
    page = open_page(browser, report).page
    shown = page.locator(".card:visible")
    count = page.locator("#count")
    expect(count).to_have_text("8 pictures")
    page.get_by_role("button", name="no boxes").click()
    expect(count).to_have_text("1 of 8 pictures")
    page.get_by_role("button", name="bad bbox").click()
    expect(shown).to_have_count(2)
    page.locator("#clear").click()
    expect(count).to_have_text("8 pictures")
    page.get_by_role("button", name="repeats").click()
    expect(shown).to_have_count(1)
    page.locator("#clear").click()
    page.get_by_role("button", name="1 picture with 5 regions").click()
    expect(shown.locator("h2")).to_contain_text("p5.png")
    page.locator("#clear").click()
    page.locator("#search").fill("WOOD thing")
    expect(shown).to_have_count(3)
    page.locator("#sort").select_option("-n")
    assert [shown.nth(place).get_attribute("data-n") for place in range(3)] == ["5", "3", "1"]
    page.locator("#search").fill("nowhere at all")
    expect(page.locator("#nothing")).to_be_visible()


def test_keys(browser: Browser, report: Path) -> None:
    page = open_page(browser, report).page
    current = page.locator(".card.current")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(current).to_have_id("r3")
    page.keyboard.press("ArrowUp")
    expect(current).to_have_id("r2")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert boxes(page, 1) == ["2"]
    page.keyboard.press("ArrowLeft")
    assert boxes(page, 1) == ["1"]
    page.keyboard.press("Escape")
    expect(current).to_have_count(0)
    page.keyboard.press("/")
    page.keyboard.type("tin")  # letters go into the field; j and k move only outside of it
    expect(page.locator("#search")).to_have_value("tin")
    expect(page.locator(".card:visible")).to_have_count(3)
    page.keyboard.press("Enter")
    expect(current).to_have_id("r2")


def test_readable_without_javascript(browser: Browser, report: Path) -> None:
    page = open_page(browser, report, java_script_enabled=False).page
    expect(page.locator(".card").nth(5).locator("li")).to_have_count(6)
    expect(page.locator(".card").nth(5).locator("li").last).to_be_visible()
    expect(page.locator("#search")).to_be_hidden()
    expect(page.locator(".card").first.locator("svg rect")).to_be_visible()


@pytest.mark.parametrize("width", [360, 800, 1600])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out_on_any_screen(browser: Browser, evil: Path, width: int, scheme: str) -> None:
    page_of(evil)
    path = evil.with_suffix(".report.html")
    page = open_page(browser, path, viewport={"width": width, "height": 800}, color_scheme=scheme).page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ground, ink = (page.evaluate(f"getComputedStyle(document.body).{name}") for name in ("backgroundColor", "color"))
    light = [sum(map(int, text[4:-1].split(","))) for text in (ground, ink)]
    assert (light[0] < light[1]) == (scheme == "dark")


def test_evil_rows_do_nothing(browser: Browser, evil: Path) -> None:
    page_of(evil)
    opened = open_page(browser, evil.with_suffix(".report.html"))
    page = opened.page
    page.keyboard.press("/")
    page.keyboard.type("<script>")
    expect(page.locator("#count")).to_contain_text(" of ")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowRight")
    assert page.title() == "out.jsonl · RegionCap"
    assert opened.troubles == []
    assert [url for url in opened.requests if not url.startswith(("file:", "data:"))] == []


def test_changed_only(browser: Browser, tmp_path: Path, make_output: Make) -> None:
    from regioncap.output.reading import open_output
    from regioncap.storage.filesystem import Filesystems

    old = make_output([output_row("a.png", ["One thing here."]), output_row("b.png", ["Two things."])], name="b.jsonl")
    new = make_output([output_row("a.png", ["One thing here."]), output_row("b.png", ["Two other."])], name="a.jsonl")
    page_of(new, against=open_output(str(old), Filesystems()))
    page = open_page(browser, tmp_path / "a.against-b.report.html").page
    page.locator("#changed").check()
    expect(page.locator(".card:visible")).to_have_count(1)
    expect(page.locator(".card:visible ins")).to_have_text("other.")


def test_two_thousand_pictures_open(browser: Browser, tmp_path: Path, make_output: Make) -> None:
    names = [f"p{number}.png" for number in range(40)]
    for number, name in enumerate(names):
        write_photo(tmp_path / name, number)
    caption = "A brown dog lying on a green lawn beside a wooden fence, its head turned towards the camera, thing {}."
    rows = [output_row(names[n % 40], [caption.format(n + k) for k in range(7)]) for n in range(2000)]
    page_of(make_output(rows))
    path = tmp_path / "out.report.html"
    assert path.stat().st_size < 30_000_000
    expect(open_page(browser, path).page.locator("#count")).to_have_text("2,000 pictures")
