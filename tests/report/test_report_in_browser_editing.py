"""The editing mode in a real browser: what people decide is kept, and saved byte for byte as a run reads it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from regioncap.inputs.edits import problem_of, read_edits
from regioncap.output.reading import open_output
from regioncap.storage.filesystem import Filesystems
from tests.support.outputs import EVIL_CAPTIONS, LONG, Make, output_row
from tests.support.pages import chromium, needs_chromium, open_in, open_page, page_of, reload
from tests.support.photos import write_photo
from tests.support.rows import BOX, read_rows

pytestmark = needs_chromium

Edit = dict[str, Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def report(tmp_path: Path, make_output: Make) -> Path:
    """Three pictures with 1, 2 and 3 regions, the last one flagged, and a rejected row."""
    rows = []
    for number in range(1, 4):
        write_photo(tmp_path / f"p{number}.png", number)
        meta = {"flags": [[], [], ["repeats"]]} if number == 3 else {}
        rows.append(output_row(f"p{number}.png", [f"Thing {number}.{n}." for n in range(1, number + 1)], meta=meta))
    reject = {"line": 4, "row": {"image": "p1.png"}, "step": "caption", "code": "captions_incomplete",
              "message": "some are missing", "captions": {"1": "One that came."}}  # fmt: skip
    page_of(make_output(rows, (reject,)))
    return tmp_path / "out.report.html"


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def type_caption(page: Page, text: str) -> None:
    """Edit the caption of the current region, by keys."""
    press(page, "e", "Control+a")
    page.keyboard.insert_text(text)
    press(page, "Enter")


def saved(page: Page, to: Path) -> list[Edit]:
    """The lines of the file that the page saves."""
    with page.expect_download() as download:
        press(page, "s")
    assert download.value.suggested_filename == "out.edits.jsonl"
    download.value.save_as(to)
    rows = read_rows(to)
    as_read = read_edits(Filesystems().place(str(to)))  # as a run does
    assert [edit.caption for edit in as_read] == [row["caption"].strip() for row in rows]
    return rows


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_captions_are_reviewed_by_keyboard_alone(browser: Browser, report: Path, scheme: str) -> None:
    opened = open_page(browser, report, color_scheme=scheme)
    page, folder = opened.page, report.parent
    expect(page.locator("#editing")).to_be_hidden()
    press(page, "ArrowRight", "a")
    expect(page.locator("#reviewed")).to_have_text("1 of 6 reviewed: 1 approved, 0 edited, 0 rejected")
    type_caption(page, "A better text.")
    press(page, "x", "x")
    expect(page.locator("#reviewed")).to_have_text("4 of 6 reviewed: 1 approved, 1 edited, 2 rejected")
    press(page, "u")
    expect(page.locator("#said")).to_have_text("Undone: Region 1 of #3 rejected")
    expect(page.locator("li:focus")).to_have_attribute("data-r", "1")
    reload(page)
    expect(page.locator("#reviewed")).to_have_text("3 of 6 reviewed: 1 approved, 1 edited, 1 rejected")
    press(page, "n", "Shift+A")
    edits = saved(page, folder / "saved.jsonl")
    first, second, third = (sha256_of(folder / f"p{number}.png") for number in (1, 2, 3))
    assert [(edit["image_sha256"], edit["bbox"], edit["action"], edit["caption"]) for edit in edits] == [
        (first, [4, 5, 20.5, 30], "approve", "Thing 1.1."),
        (second, [4, 5, 20.5, 30], "edit", "A better text."),
        (second, [6, 5, 20.5, 30], "reject", "Thing 2.2."),
        (third, [4, 5, 20.5, 30], "approve", "Thing 3.1."),
        (third, [6, 5, 20.5, 30], "approve", "Thing 3.2."),
        (third, [8, 5, 20.5, 30], "approve", "Thing 3.3."),
    ]
    assert [(edit["image"], edit["region"]) for edit in edits[:3]] == [("p1.png", 1), ("p2.png", 1), ("p2.png", 2)]
    assert all(edit["time"].endswith("Z") for edit in edits)
    as_read = read_edits(Filesystems().place(str(folder / "saved.jsonl")))
    row = {"image_sha256": second, "bbox": [[4, 5, 20.5, 30], [6, 5, 20.5, 30]]}
    assert {n: (edit.action, edit.caption) for n, edit in as_read.of_row(row).items()} == {
        1: ("edit", "A better text."), 2: ("reject", "Thing 2.2."),
    }  # fmt: skip
    assert opened.troubles == []
    assert [url for url in opened.requests if not url.startswith(("file:", "data:", "blob:"))] == []


def test_captions_are_reviewed_by_mouse_and_touch(browser: Browser, report: Path) -> None:
    page = open_page(browser, report, viewport={"width": 390, "height": 844}, has_touch=True).page
    page.get_by_role("button", name="Edit captions").tap()
    card = page.locator("#r2")
    card.get_by_role("button", name="Approve region 1").tap()
    expect(card.get_by_role("button", name="Approve region 1")).to_have_attribute("aria-pressed", "true")
    card.get_by_role("button", name="Edit region 2").click()
    page.get_by_role("textbox", name="Caption of region 2").fill("Other words.")
    page.get_by_role("button", name="Accept").tap()
    page.locator("#r3").get_by_role("button", name="Reject region 3").tap()
    expect(page.locator("#reviewed")).to_have_text("3 of 6 reviewed: 1 approved, 1 edited, 1 rejected")
    expect(card.locator("p.mine")).to_have_text("Other words.")
    card.get_by_role("button", name="Approve region 1").tap()  # not, after all
    page.get_by_role("button", name="Undo").tap()
    expect(page.locator("#reviewed")).to_have_text("3 of 6 reviewed: 1 approved, 1 edited, 1 rejected")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("button", name="Close editing").tap()
    expect(page.locator("#editing")).to_be_hidden()


def test_what_is_not_saved_outlasts_the_tab(browser: Browser, report: Path, make_output: Make) -> None:
    profile = browser.new_context()
    page = open_in(profile, report).page
    press(page, "ArrowRight", "x", "ArrowRight", "e")
    page.keyboard.insert_text(" And half of a sen")
    page.close()
    page = open_in(profile, report).page
    expect(page.get_by_role("textbox", name="Caption of region 2")).to_have_value("Thing 2.2. And half of a sen")
    press(page, "Enter")
    expect(page.locator("#reviewed")).to_have_text("2 of 6 reviewed: 0 approved, 1 edited, 1 rejected")
    other = make_output([output_row("p1.png", ["Thing 1.1."])], name="other.jsonl")
    page_of(other)  # of the same image, box and text; but another output
    expect(open_in(profile, report.with_name("other.report.html")).page.locator("#editing")).to_be_hidden()


def test_half_a_sentence_outlasts_another_tab_and_another_run(
    browser: Browser, report: Path, make_output: Make
) -> None:
    profile = browser.new_context()
    first, second = (open_in(profile, report).page for _ in range(2))
    press(first, "ArrowRight", "e")
    first.keyboard.insert_text(" And half")
    press(second, "ArrowRight", "ArrowRight", "e")
    second.keyboard.insert_text(" And more")
    press(second, "Enter")
    # The browser brings what a tab stores to others when it can: a page that is closed before may take it along.
    second.wait_for_function("Object.values(localStorage).some(text => text.includes('And half'))")
    first.close()
    rows = [output_row(f"p{n}.png", [f"Thing {n}.{region}." for region in range(1, n + 1)]) for n in (1, 2, 3)]
    write_photo(report.with_name("p4.png"), 4)
    page_of(make_output([*rows, output_row("p4.png", ["Thing 4."])]))
    page = open_in(profile, report).page
    expect(page.get_by_role("textbox", name="Caption of region 1")).to_have_value("Thing 1.1. And half")
    press(page, "Enter")
    expect(page.locator("#reviewed")).to_have_text("2 of 7 reviewed: 0 approved, 2 edited, 0 rejected")
    reload(page)
    expect(page.get_by_role("textbox")).to_have_count(0)


def test_a_second_rejection_outlasts_a_run_that_was_without_it(
    browser: Browser, report: Path, make_output: Make
) -> None:
    profile = browser.new_context()
    rows = [output_row("p1.png", ["Another thing."], meta={"edited": ["rejected"]})]
    page_of(make_output(rows))
    press(open_in(profile, report).page, "ArrowRight", "x")
    page_of(make_output([*rows, output_row("p2.png", ["More."])]))
    page = open_in(profile, report).page
    expect(page.locator("#reviewed")).to_have_text("1 of 2 reviewed: 0 approved, 0 edited, 1 rejected")


def test_tabs_of_one_page_show_the_same(browser: Browser, report: Path) -> None:
    profile = browser.new_context()
    first, second = (open_in(profile, report).page for _ in range(2))
    press(first, "ArrowRight", "a")
    press(second, "ArrowRight", "ArrowRight", "x")
    for page in (first, second):
        expect(page.locator("#reviewed")).to_have_text("2 of 6 reviewed: 1 approved, 0 edited, 1 rejected")


def test_a_newer_run_takes_over_what_is_of_the_same_text(browser: Browser, report: Path, make_output: Make) -> None:
    profile = browser.new_context()
    page = open_in(profile, report).page
    press(page, "ArrowRight", "a", "a", "x", "a", "a")
    meta = {"edited": ["approved", "rejected", None]}
    rows = [output_row("p1.png", ["Thing 1.1."]), output_row("p2.png", ["Thing 2.1, seen again.", "Thing 2.2, again."]),
            output_row("p3.png", [f"Thing 3.{n}." for n in range(1, 4)], meta=meta)]  # fmt: skip
    page_of(make_output(rows))
    page = open_in(profile, report).page
    expect(page.locator("#earlier")).to_contain_text("2 drafts of an earlier run are about other captions")
    # 1.1 is taken over, 3.1 is done, 3.2 is of the same text, though that was rejected
    expect(page.locator("#reviewed")).to_have_text("3 of 6 reviewed: 3 approved, 0 edited, 0 rejected")
    page.get_by_role("button", name="Take over").click()
    expect(page.locator("#r2 p.mine")).to_have_text(["Thing 2.1."])
    edits = saved(page, report.with_name("saved.jsonl"))
    assert [edit["caption"] for edit in edits] == ["Thing 1.1.", "Thing 2.1.", "Thing 2.2.", "Thing 3.2."]
    reload(page)
    expect(page.locator("#earlier")).to_be_hidden()


def test_the_edits_of_a_file_are_gone_on_with(browser: Browser, report: Path) -> None:
    mine, theirs = report.with_name("mine.jsonl"), report.with_name("theirs.jsonl")
    page = open_page(browser, report).page
    press(page, "ArrowRight", "a", "x")
    edits = saved(page, mine)
    elsewhere = {"image_sha256": "e" * 64, "bbox": [1.25, 2, 3, 4], "action": "edit", "caption": "Not on this page."}
    later = {**edits[1], "action": "edit", "caption": "Their words.", "time": "2100-01-01T00:00:00Z"}
    earlier = {**edits[0], "action": "reject", "time": "2000-01-01T00:00:00Z"}
    theirs.write_text("\ufeff" + "\r\n".join(json.dumps(edit) for edit in (elsewhere, later, earlier)) + "\r\n\r\n")
    page.locator("#file").set_input_files(theirs)
    expect(page.locator("#said")).to_have_text(
        "2 edits of theirs.jsonl taken over, 1 of regions that this page does not show, "
        "1 left out, since there are later ones here"
    )
    expect(page.locator("#reviewed")).to_have_text("2 of 6 reviewed: 1 approved, 1 edited, 0 rejected")
    assert saved(page, mine) == [edits[0], later, elsewhere]
    press(page, "u")
    assert saved(page, mine) == edits
    again = open_page(browser, report).page
    again.locator("#file").set_input_files(mine)
    expect(again.locator("#said")).to_have_text("2 edits of mine.jsonl taken over")
    assert saved(again, theirs) == edits


WRONG_LINES = [
    ("{", "expected JSON"),
    ("[1]", "expected a JSON object"),
    ({"image_sha256": "abc"}, "image_sha256: expected 64 hexadecimal digits"),
    ({"bbox": [1, 2, 3]}, "bbox: expected four numbers, x, y, width and height"),
    ({"bbox": [1, 2, 3, None]}, "bbox: expected four numbers, x, y, width and height"),
    ({"action": "aprove"}, "action: expected one of approve, edit, reject"),
    ({"caption": None}, "caption: expected text"),
    ({"caption": "two\nlines"}, "It has more than one line."),
]


def test_a_wrong_file_changes_nothing(browser: Browser, report: Path) -> None:
    good = {"image_sha256": sha256_of(report.with_name("p1.png")), "bbox": [4, 5, 20.5, 30], "action": "edit",
            "caption": "Good."}  # fmt: skip
    page = open_page(browser, report).page
    for number, (line, wrong) in enumerate(WRONG_LINES):
        file = report.with_name(f"{number}.jsonl")
        second = json.dumps({**good, **line}) if isinstance(line, dict) else line
        file.write_text(f"{json.dumps(good)}\n{second}\n")
        page.locator("#file").set_input_files(file)
        expect(page.locator("#said")).to_have_text(f"{number}.jsonl line 2: {wrong}; nothing was taken over.")
        expect(page.locator("#reviewed")).to_have_text("0 of 6 reviewed")


NO_STORAGE = (
    "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError') } })"
)
FULL = "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError') }"


@pytest.mark.parametrize("script", [NO_STORAGE, FULL], ids=["forbidden", "full"])
def test_where_nothing_can_be_stored_the_page_says_so(browser: Browser, report: Path, script: str) -> None:
    profile = browser.new_context()
    profile.add_init_script(script)
    opened = open_in(profile, report)
    page = opened.page
    press(page, "ArrowRight", "a")
    expect(page.locator("#risk")).to_be_visible()
    with page.expect_event("dialog"):
        page.close(run_before_unload=True)
    assert opened.troubles == ["beforeunload"]  # the browser asks, and stays
    edits = saved(page, report.with_name("saved.jsonl"))
    assert [edit["action"] for edit in edits] == ["approve"]
    reload(page)
    assert opened.troubles == ["beforeunload"]


EVIL = [*EVIL_CAPTIONS, "tab\tand \x85 more", "ends with a blank ", "\u202eright to left", "<region2> two", "\x00"]


def test_hostile_captions_come_back_exactly(browser: Browser, tmp_path: Path, make_output: Make) -> None:
    write_photo(tmp_path / "p.png", 1)
    page_of(make_output([output_row("p.png", EVIL)]))
    profile = browser.new_context()
    opened = open_in(profile, tmp_path / "out.report.html")
    page = opened.page
    press(page, "ArrowRight", *["x"] * len(EVIL))
    reload(page)
    edits = saved(page, tmp_path / "saved.jsonl")
    assert [edit["caption"] for edit in edits] == [text.replace("\ud800", "\ufffd") for text in EVIL]
    assert opened.troubles == []


def test_hostile_texts_are_typed_and_come_back_exactly(browser: Browser, report: Path) -> None:
    texts = [
        "</script><img src=x onerror=alert(1)>",
        "\"'\\ ${1} {{ 2 }}",
        "שלום עולם، مرحبا",
        "👩‍👩‍👧‍👦 🏳️‍🌈",
        "word " * 3999 + "end",
        "x",
    ]
    opened = open_page(browser, report)
    page = opened.page
    press(page, "ArrowRight")
    for text in texts:
        type_caption(page, text)
    reload(page)
    expect(page.locator("#reviewed")).to_have_text("6 of 6 reviewed: 0 approved, 6 edited, 0 rejected")
    assert [edit["caption"] for edit in saved(page, report.with_name("saved.jsonl"))] == texts
    assert page.title() == "out.jsonl · RegionCap"
    assert opened.troubles == []


REFUSED = {
    "  ": "A caption cannot be empty.",
    "x" * 20_001: "20,001 characters; at most 20,000 are possible.",
    "A cat. <Region 2> a dog": "It holds the label of a region: <Region 2>",
}


def test_what_the_run_would_refuse_is_refused_at_once(browser: Browser, report: Path) -> None:
    page = open_page(browser, report).page
    field = page.get_by_role("textbox", name="Caption of region 1")
    press(page, "ArrowRight")
    for text, problem in REFUSED.items():
        type_caption(page, text)
        expect(field).to_be_focused()
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(page.get_by_role("alert")).to_have_text(problem)
        press(page, "Escape")
        expect(field).to_have_count(0)
    expect(page.locator("#reviewed")).to_have_text("0 of 6 reviewed")


CAPTIONS = [
    *EVIL, "", "A cat.", "x" * 20_000, "x" * 20_001, "\U0001f600" * 20_000,
    "A cat. <Region 2> a dog", "Left of <region2>", "< region_3 > x", "\u3002<region\uff11>",
    "<REG\u0130ON1> x", "<reg\u0131on 1>",
    "a\nb", "a\x1cb", "a\x7fb", "a\u2029b", "a\ufeffb", "a\u2066b", "a\uffffb", "a\u200db",
]  # fmt: skip


def test_page_and_run_agree_on_what_a_caption_is(browser: Browser, report: Path) -> None:
    page = open_page(browser, report).page
    problems = page.evaluate(f"{json.dumps(CAPTIONS)}.map((text) => edits.problemOf(text, 20_000))")
    refused = [not text.strip() or bool(problem_of(text.strip())) for text in CAPTIONS]
    assert [bool(problem) for problem in problems] == refused


def test_pasted_lines_become_one(browser: Browser, report: Path) -> None:
    page = open_page(browser, report).page
    press(page, "ArrowRight")
    type_caption(page, "\u202eOne\r\ntwo\tthree\u2028four\0.\n")
    assert [edit["caption"] for edit in saved(page, report.with_name("saved.jsonl"))] == ["One two three four."]


def test_captions_that_cannot_be_approved(browser: Browser, tmp_path: Path, make_output: Make) -> None:
    write_photo(tmp_path / "p.png", 1)
    page_of(make_output([output_row("p.png", ["bell \x07", LONG, "<region1> a label", "good"])]))
    page = open_page(browser, tmp_path / "out.report.html").page
    press(page, "ArrowRight")
    for problem in ("control characters", "99,999 characters", "the label of a region"):
        press(page, "a")
        expect(page.locator("#said")).to_contain_text(problem)
        press(page, "ArrowRight")
    press(page, "Shift+A")
    expect(page.locator("#reviewed")).to_have_text("1 of 4 reviewed: 1 approved, 0 edited, 0 rejected")


def test_edits_of_the_output_are_shown_and_are_not_new(browser: Browser, tmp_path: Path, make_output: Make) -> None:
    write_photo(tmp_path / "p.png", 1)
    meta = {"edited": ["approved", "edited", "rejected", None], "image_sha256": sha256_of(tmp_path / "p.png")}
    page_of(make_output([output_row("p.png", ["One.", "Two.", "Three.", "Four."], meta=meta)]))
    page = open_page(browser, tmp_path / "out.report.html").page
    expect(page.locator("em.state")).to_have_text(["approved", "edited", "new, after a rejection"])
    page.get_by_role("button", name="Edit captions").click()
    # A caption that came in place of a rejected one is for review as any other.
    expect(page.locator("#reviewed")).to_have_text("2 of 4 reviewed: 1 approved, 1 edited, 0 rejected")
    expect(page.locator("li:focus")).to_have_attribute("data-r", "3")
    expect(page.locator("li:focus > p")).to_have_css("text-decoration-line", "none")
    expect(page.locator("#save")).to_be_disabled()
    press(page, "x", "x")
    assert [edit["region"] for edit in saved(page, tmp_path / "saved.jsonl")] == [3, 4]
    expect(page.locator("#said")).to_contain_text("open their file first")
    press(page, "ArrowLeft", "Backspace")
    states = ["approved before", "edited before", "new, after a rejection", "rejected"]
    expect(page.locator("em.state")).to_have_text(states)
    press(page, "ArrowLeft", "Backspace")
    expect(page.locator("#said")).to_contain_text("Region 2 of #1 is edited by the file of edits")


def test_rows_of_unknown_images_are_not_edited(browser: Browser, tmp_path: Path, make_output: Make) -> None:
    write_photo(tmp_path / "p.png", 1)
    rows = [output_row("gone.png", ["One."]), output_row("p.png", ["Two."], meta={"image_sha256": "f" * 64}),
            output_row("gone.png", ["Three."], meta={"image_sha256": "e" * 64})]  # fmt: skip
    page_of(make_output(rows))
    page = open_page(browser, tmp_path / "out.report.html").page
    press(page, "ArrowRight", "x")
    expect(page.locator("#said")).to_contain_text("The image could not be read")
    press(page, "ArrowRight", "e")
    expect(page.locator("#said")).to_have_text("The image is no longer the one that was captioned.")
    press(page, "n", "x")
    expect(page.locator("#reviewed")).to_have_text("1 of 1 reviewed: 0 approved, 0 edited, 1 rejected")
    assert [edit["image_sha256"] for edit in saved(page, tmp_path / "saved.jsonl")] == ["e" * 64]


def test_the_missing_captions_of_a_reject_are_written(browser: Browser, tmp_path: Path, make_output: Make) -> None:
    write_photo(tmp_path / "p.png", 1)
    known = {"image_sha256": sha256_of(tmp_path / "p.png"), "width": 96, "height": 64, "bbox": [[4, 5, 20.5, 30], BOX]}
    reject = {"line": 7, "row": {"image": "p.png"}, "step": "caption", "code": "captions_incomplete", "message": "m",
              "captions": {"2": "One that came."}, **known}  # fmt: skip
    page_of(make_output([output_row("p.png", [])], (reject,)))
    page = open_page(browser, tmp_path / "out.report.html").page
    expect(page.locator("#x1 svg rect")).to_have_count(2)
    press(page, "n", "a")
    expect(page.locator("#said")).to_contain_text("A caption cannot be empty.")
    press(page, "x")
    expect(page.locator("#said")).to_have_text("Region 1 of line 7 has no caption to reject; edit it.")
    type_caption(page, "What is there.")
    press(page, "a")
    edits = saved(page, tmp_path / "saved.jsonl")
    assert [(edit["action"], edit["caption"], edit["bbox"]) for edit in edits] == [
        ("edit", "What is there.", [4, 5, 20.5, 30]), ("approve", "One that came.", BOX),
    ]  # fmt: skip


def test_one_image_and_box_in_two_rows_have_one_edit(browser: Browser, tmp_path: Path, make_output: Make) -> None:
    write_photo(tmp_path / "p.png", 1)
    page_of(make_output([output_row("p.png", ["One."]), output_row("p.png", ["Another."])]))
    page = open_page(browser, tmp_path / "out.report.html").page
    press(page, "ArrowRight", "a")
    expect(page.locator("#r2 p.mine")).to_have_text("One.")
    expect(page.locator("#reviewed")).to_have_text("2 of 2 reviewed: 2 approved, 0 edited, 0 rejected")
    assert len(saved(page, tmp_path / "saved.jsonl")) == 1


def test_filter_by_state(browser: Browser, report: Path) -> None:
    page = open_page(browser, report).page
    press(page, "ArrowRight", "a", "x")
    page.get_by_role("button", name="rejected 1").click()
    expect(page.locator(".card:visible")).to_have_count(1)
    expect(page.locator("#count")).to_have_text("1 of 4 pictures")
    page.get_by_role("button", name="approved 1").click()
    expect(page.locator(".card:visible")).to_have_count(2)
    page.locator("#clear").click()
    expect(page.get_by_role("button", name="Approve region 1").first).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="not reviewed 4").click()
    expect(page.locator(".card:visible")).to_have_count(2)


def test_keys_move_leave_and_are_explained(browser: Browser, report: Path) -> None:
    page = open_page(browser, report).page
    press(page, "?")
    keys = page.get_by_role("dialog", name="Keys")
    expect(keys).to_be_visible()
    press(page, "a", "Escape")  # a key of the page does nothing meanwhile
    expect(keys).to_be_hidden()
    press(page, "n", "x", "p")
    expect(page.locator("li:focus")).to_have_attribute("data-r", "1")
    press(page, "Tab")
    focused = page.locator(":focus")
    expect(focused).to_have_attribute("aria-label", "Approve region 1")
    press(page, "Tab", "Tab", "Enter")
    expect(page.locator("#reviewed")).to_have_text("2 of 6 reviewed: 0 approved, 0 edited, 2 rejected")
    press(page, "Backspace")
    expect(page.locator("#reviewed")).to_have_text("1 of 6 reviewed: 0 approved, 0 edited, 1 rejected")
    press(page, "Escape")
    expect(page.locator(".current")).to_have_count(0)
    press(page, "Escape")
    expect(page.locator("#editing")).to_be_hidden()


def test_the_region_with_the_focus_has_its_buttons_before_the_browser_says_that_it_is_near(
    browser: Browser, report: Path
) -> None:
    profile = browser.new_context()
    profile.add_init_script("IntersectionObserver = class { observe() {} unobserve() {} disconnect() {} }")
    page = open_in(profile, report).page
    press(page, "n", "x", "Tab", "Enter")
    expect(page.locator("#reviewed")).to_have_text("2 of 6 reviewed: 1 approved, 0 edited, 1 rejected")


def test_a_key_held_down_decides_once_and_caps_lock_means_no_other_key(browser: Browser, report: Path) -> None:
    page = open_page(browser, report).page
    press(page, "ArrowRight", "ArrowRight")
    for _ in range(3):
        page.keyboard.down("a")
    page.keyboard.up("a")
    expect(page.locator("#reviewed")).to_have_text("1 of 6 reviewed: 1 approved, 0 edited, 0 rejected")
    press(page, "ArrowDown")
    page.locator("#r3 li").first.click()
    page.evaluate(
        "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: 'A', code: 'KeyA', bubbles: true}))"
    )
    expect(page.locator("#reviewed")).to_have_text("2 of 6 reviewed: 2 approved, 0 edited, 0 rejected")


def test_a_comparison_is_not_edited(browser: Browser, tmp_path: Path, make_output: Make) -> None:
    old, new = (make_output([output_row("a.png", [text])], name=f"{text}.jsonl") for text in ("b", "a"))
    page_of(new, against=open_output(str(old), Filesystems()))
    opened = open_page(browser, tmp_path / "a.against-b.report.html")
    press(opened.page, "ArrowRight", "a", "e", "?")
    expect(opened.page.locator("#review, #editing")).to_have_count(0)
    assert opened.troubles == []
