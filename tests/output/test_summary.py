"""What a Python prompt and a notebook show of a run."""

from __future__ import annotations

import re
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path

from regioncap.vision.images import read_info
from tests.support.runs import Run


class Balanced(HTMLParser):
    """Fails for a tag that is not closed in its place; keeps the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self._open = "", list[str]()
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in ("br", "img"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_prompt_shows_counts_and_no_settings(project: Path, run: Run) -> None:
    shown = repr(run(project))
    assert re.match(
        r"Summary\(complete=True, problem='', rows_in=6, rows_out=6, rejects=0, regions=\d+, output=", shown
    )
    assert "config" not in shown
    assert len(shown) < 400 + len(str(project))


def test_a_notebook_shows_counts_and_the_first_pictures(project: Path, run: Run) -> None:
    summary = run(project, page_pictures=2)
    page = summary._repr_html_()
    text = Balanced(page).text
    assert "rows captioned6" in text
    assert summary.output in text
    pictures = re.findall(r"src='data:image/jpeg;base64,([^']*)'", page)
    assert len(pictures) == 2
    assert {read_info(b64decode(data), max_image_pixels=10**7).format for data in pictures} == {"JPEG"}
    assert len(re.findall("<li>", page)) >= 2


def test_a_notebook_shows_text_and_runs_none_of_it(project: Path, run: Run) -> None:
    hostile = run(project).model_copy(update={"problem": "<script>alert(1)</script>\x1b[31m"})
    page = hostile._repr_html_()
    assert "<script>" not in page
    assert "<script>alert(1)</script>" in Balanced(page).text
    assert "\x1b" not in page
