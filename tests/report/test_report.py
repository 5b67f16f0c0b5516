"""The page of an output: what is in it, and that nothing of a row is more than text."""

from __future__ import annotations

import html.parser
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from regioncap.errors import UsageError
from regioncap.output.reading import open_output
from regioncap.report.cards import changed_words, cut
from regioncap.report.selection import evenly_spaced
from regioncap.storage.filesystem import Filesystems
from tests.support.outputs import LONG, Make, output_row
from tests.support.pages import page_of
from tests.support.photos import write_photo
from tests.support.rows import BOX, write_rows
from tests.support.runs import Run


class Parsed(html.parser.HTMLParser):
    """The elements of a page with their attributes, and its texts by element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def of(self, tag: str, **attrs: str) -> list[dict[str, str | None]]:
        return [had for name, had in self.elements if name == tag and all(had.get(k) == v for k, v in attrs.items())]


def cards(page: str) -> list[dict[str, str | None]]:
    return [had for had in Parsed(page).of("article") if "card" in (had["class"] or "")]


def count_in(page: str) -> str:
    found = re.search(r'id="count"[^>]*>([^<]*)<', page)
    assert found
    return found[1]


def test_a_page_holds_pictures_boxes_captions_and_counts(tmp_path: Path, make_output: Make) -> None:
    write_photo(tmp_path / "p.png", 1)
    flagged = {"flags": [["too_short"], []], "region_fields": {"label": ["cat", "dog"]}}
    rows = [
        output_row("p.png", ["A cat.", "A dog on a lawn."], meta=flagged),
        output_row("gone.png", ["A tree there."]),
    ]
    reject = {
        "line": 3,
        "row": {"image": "p.png"},
        "step": "route",
        "code": "no_boxes",
        "message": "line 3: an empty list",
    }
    page = page_of(make_output(rows, (reject,)))
    parsed = Parsed(page)
    text = " ".join(parsed.texts)
    assert [(card["data-code"], card["data-flags"], card["data-n"]) for card in cards(page)] == [
        ("", "too_short", "2"), ("", "", "1"), ("no_boxes", "", "0"),
    ]  # fmt: skip
    assert len(parsed.of("img")) == 2  # one row's picture is gone, which the page says
    assert "gone.png is not there" in text
    assert [had["data-r"] for had in parsed.of("g", **{"class": "k0"})] == ["1"]
    assert "A dog on a lawn." in text
    assert "label: cat" in text
    assert "line 3: an empty list" in text
    chips = {had["data-value"] for had in parsed.of("button", type="button") if had.get("data-value")}
    assert chips == {"no_boxes", "too_short", "with_bbox"} | {"open", "approved", "edited", "rejected"}


def test_drafts_belong_to_the_output_however_its_path_is_spelled(
    tmp_path: Path, make_output: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photo(tmp_path / "p.png", 1)
    output = make_output([output_row("p.png", ["A thing."])])
    monkeypatch.chdir(tmp_path)
    places = (output, "out.jsonl", "./out.jsonl", f"file://{output}")
    found = {re.findall('data-output="([^"]*)"', page_of(place))[0] for place in places}
    assert len(found) == 1
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    assert (
        re.findall(
            'data-output="([^"]*)"', page_of(make_output([output_row("../p.png", ["A thing."])], name="sub/out.jsonl"))
        )[0]
        not in found
    )


def test_nothing_of_a_row_becomes_markup(evil: Path) -> None:
    page = page_of(evil)
    parsed = Parsed(page)
    assert Counter(tag for tag, _ in parsed.elements)["script"] == 1
    assert Counter(tag for tag, _ in parsed.elements)["style"] == 1
    assert all(had["src"] and had["src"].startswith("data:image/webp;base64,") for had in parsed.of("img"))
    handlers = [name for _, had in parsed.elements for name in had if name.startswith("on") or name == "style"]
    assert handlers == []
    links = {had["href"] for had in parsed.of("a")}
    assert all(link and link.startswith("#") for link in links)
    assert not [tag for tag, _ in parsed.elements if tag in ("link", "iframe", "form", "object", "embed")]
    assert "<script>document.title='owned'</script>" in "".join(parsed.texts)
    assert f"{len(LONG):,} characters in all" in page
    assert LONG not in "".join(parsed.texts)
    assert "\0" not in page


def test_the_policy_lets_in_only_what_the_page_is_made_of(evil: Path) -> None:
    policy = Parsed(page_of(evil)).of("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"]
    assert policy is not None
    assert re.fullmatch(
        r"default-src 'none'; img-src data:; style-src 'sha256-[\w+/=]+'; script-src 'sha256-[\w+/=]+'; "
        r"base-uri 'none'; form-action 'none'",
        policy,
    )


def test_more_rows_than_a_page_holds(tmp_path: Path, make_output: Make) -> None:
    rows = [output_row(f"{n}.png", [f"A thing of kind {n}."] * (1 + n % 3)) for n in range(500)]
    rows[321] = output_row("321.png", ["A dog."], meta={"flags": [["too_short"]]})
    rows[123] = output_row("123.png", ["One of many there."] * 30)
    rejects = [
        {"line": n, "row": {"image": "x"}, "step": "extract", "code": "image_missing", "message": "m"}
        for n in range(50)
    ]
    rejects[44]["code"] = "no_regions"
    page = page_of(make_output(rows, tuple(rejects)), most=100)
    shown = cards(page)
    assert len(shown) == 100
    assert count_in(page) == "100 pictures"
    assert "100 of 550 rows are shown" in page
    assert {card["data-code"] for card in shown} == {"", "image_missing", "no_regions"}
    assert {"r322", "r124"} <= {card["id"] for card in shown}
    numbers = [int((card["id"] or "")[1:]) for card in shown if (card["id"] or "").startswith("r")]
    assert numbers == sorted(numbers)
    assert all(any(low <= number <= low + 25 for number in numbers) for low in range(1, 475, 25))  # from everywhere
    histogram = Parsed(page).of("g", **{"class": "bar"})
    assert next(bar["aria-label"] for bar in histogram if bar["data-value"] == "1") == "166 pictures with 1 region"
    assert "1 picture with 24+ regions" in [bar["aria-label"] for bar in histogram]


def test_where_chooses_the_rows_and_regions_of_a_page(tmp_path: Path, make_output: Make) -> None:
    write_photo(tmp_path / "p.png", 1)
    flagged = {"flags": [[], ["repeats"], []]}
    rows = [output_row("p.png", ["One."]), output_row("p.png", ["One.", "Two.", "Three."], meta=flagged)]
    reject = {"line": 3, "row": {"image": "p.png"}, "step": "route", "code": "no_boxes", "message": "m"}
    output = make_output(rows, (reject,))
    page = page_of(output, where=["flag==repeats"])
    assert [card["id"] for card in cards(page)] == ["r2"]
    parsed = Parsed(page)
    assert [had["data-r"] for had in parsed.of("li")] == ["2"]
    assert [had["data-r"] for had in parsed.of("g") if had["class"] != "bar"] == ["2"]
    assert "Only rows and regions with flag==repeats. All rows are shown." in page
    assert "rows selected" in page
    with pytest.raises(UsageError, match="no row satisfies all conditions"):
        page_of(output, where=["flag==refusal"])
    with pytest.raises(UsageError, match="no row has 'colour'"):
        page_of(output, where=["colour==red"])


def test_a_sample_of_the_rows_that_where_chooses(make_output: Make) -> None:
    rows = [output_row(f"{n}.png", [f"A thing of kind {n % 2}."]) for n in range(100)]
    page = page_of(make_output(rows), where=["caption~kind 1"], most=10)
    numbers = [int((card["id"] or "")[1:]) for card in cards(page)]
    assert len(numbers) == 10
    assert all(number % 2 == 0 for number in numbers)
    assert "10 of 50 rows are shown" in page


@pytest.mark.parametrize(("count", "taken", "most"), [(10, {1, 2}, 4), (5, set(), 9), (0, set(), 3), (7, {7}, 6)])
def test_the_rest_is_evenly_spread_over_what_is_not_taken(count: int, taken: set[int], most: int) -> None:
    found = evenly_spaced(count, taken, most)
    assert len(found) == min(most, count - len(taken))
    assert not found & taken
    assert found <= set(range(1, count + 1))


def test_words_that_changed_are_marked() -> None:
    parts, count = changed_words("A red dog on a lawn", "A brown dog on the lawn")
    assert [part["text"] for part in parts["was"] if part["changed"]] == ["red", "a"]
    assert [part["text"] for part in parts["now"] if part["changed"]] == ["brown", "the"]
    assert count == 4
    assert changed_words("same", "same") == (
        {"was": [{"text": "same", "changed": False}], "now": [{"text": "same", "changed": False}]},
        0,
    )
    assert "".join(part["text"] for part in changed_words("", LONG)[0]["now"]) == LONG


def test_long_texts_are_cut_by_what_they_weigh() -> None:
    assert cut("short", 100) == ("short", 0)
    assert cut("<" * 1000, 600) == ("<" * 120, 1000)
    assert cut("a\0b", 100) == ("a\ufffdb", 0)


# --- two runs


def test_two_runs_side_by_side(tmp_path: Path, make_output: Make) -> None:
    before = [
        output_row("same.png", ["A dog on a lawn."]),
        output_row("other.png", ["A red car there.", "A tree there."]),
        output_row("lost.png", ["A cup there."]),
        output_row("only-b.png", ["A pen there."]),
    ]
    now = [
        output_row("same.png", ["A dog on a lawn."]),
        output_row("other.png", ["A blue car there.", "A tree there."]),
        output_row("found.png", ["A new thing there."]),
        output_row("only-a.png", ["A pot there."]),
    ]
    rejected = (
        {"line": 3, "row": {"image": "found.png"}, "step": "caption", "code": "caption_failed", "message": "no"},
    )
    gained = ({"line": 3, "row": {"image": "lost.png"}, "step": "extract", "code": "image_missing", "message": "gone"},)
    old = make_output(before, rejected, "b.jsonl")
    new = make_output(now, gained, "a.jsonl")
    page = page_of(new, against=open_output(str(old), Filesystems()))
    assert {card["id"]: card["data-change"] for card in cards(page)} == {
        "r1": "same", "r2": "changed", "r3": "reject_lost", "r4": "only_here", "x1": "reject_gained",
    }  # fmt: skip
    assert re.findall(r"<del>(.*?)</del>.*?<ins>(.*?)</ins>", page) == [("red", "blue")]
    assert cards(page)[1]["data-changed"] == "2"
    assert "B: caption_failed" in page
    assert re.search(r"captions changed</dt><dd>1</dd><dd class=\"more\">33 %", page)
    assert re.search(r"rows only in B</dt><dd>1<", page)
    assert 'id="changed"' in page


def test_a_comparison_shows_the_flags_of_both_sides(make_output: Make) -> None:
    old = make_output(
        [
            output_row("a.png", ["A cup."], meta={"flags": [["too_short"]]}),
            output_row("b.png", ["Red."], meta={"flags": [["too_short"]]}),
        ],
        name="b.jsonl",
    )
    new = make_output(
        [output_row("a.png", ["A cup cup cup."], meta={"flags": [["repeats"]]})],
        ({"line": 2, "row": {"image": "b.png"}, "step": "caption", "code": "caption_failed", "message": "no"},),
        name="a.jsonl",
    )
    page = page_of(new, against=open_output(str(old), Filesystems()))
    assert re.findall(r"<em class=\"flag[^>]*>(.*?)</em>", page) == ["A: repeats", "B: too short"]
    assert [(card["data-flags"], card["data-flags-before"]) for card in cards(page)] == [
        ("repeats", "too_short"), ("", "too_short"),
    ]  # fmt: skip
    assert "B has captions for 1 region<" in page
    assert re.search(r"flagged regions of A</dt><dd>1<", page)
    assert re.search(r"flagged regions of B</dt><dd>2<", page)


# --- of a run


def test_a_run_writes_its_page_and_leaves_it_when_nothing_changed(project: Path, run: Run) -> None:
    run(project, report=True)
    page = project / "out.report.html"
    assert len(cards(page.read_text())) == 6
    before = page.stat().st_mtime_ns
    run(project, report=True)
    assert page.stat().st_mtime_ns == before
    run(project, report=True, max_boxes=1)
    assert page.stat().st_mtime_ns != before
    assert len(page.read_text().split("<rect x")) < 20


def test_a_page_that_fails_does_not_fail_the_run(project: Path, run: Run) -> None:
    (project / "out.report.html").mkdir()
    assert run(project, report=True).ok


def test_pictures_are_found_from_elsewhere(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    write_photo(home / "p.png", 1)
    write_rows(home / "photos.jsonl", [{"image": "p.png", "bbox": [BOX]}])
    monkeypatch.chdir(home)
    run(home, input="photos.jsonl", output="out.jsonl", cache_path="cache")
    monkeypatch.chdir(tmp_path)
    assert "<img" in page_of("home/out.jsonl")
    (home / "p.png").unlink()  # the marked picture is still there
    assert "<img" in page_of("home/out.jsonl")


def test_an_output_without_its_summary(tmp_path: Path, make_output: Make) -> None:
    write_photo(tmp_path / "p.png", 1)
    path = make_output([output_row("p.png", ["A thing there."])])
    assert not path.with_suffix(".summary.json").exists()
    assert "<img" in page_of(path)
    assert json.loads(path.read_text())["image"] == "p.png"
