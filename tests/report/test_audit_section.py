"""The page's section on the output's audit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from regioncap.audit.figures import measure
from regioncap.audit.rows import AuditedRow
from regioncap.output.audit_file import write_audit
from regioncap.output.outputs import outputs_at
from regioncap.storage.filesystem import Filesystems
from tests.support.outputs import Make, output_row
from tests.support.pages import page_of

CAPTIONS = ["A red bus by the kerb.", "A brown dog with a collar.", "<b>An old oak tree.</b>"]


@pytest.fixture
def output(make_output: Make) -> Path:
    """Thirty pictures, of which the fourth has its first two captions swapped when asked with other numbers."""
    rows, audited = [], []
    for number in range(1, 31):
        row = output_row(f"p{number}.png", CAPTIONS, meta={"image_sha256": f"{number:064x}"})
        again = [CAPTIONS[1], CAPTIONS[0], CAPTIONS[2]] if number == 4 else CAPTIONS
        box, sha256 = row["meta_info"]["bbox"], f"{number:064x}"
        rows.append(row)
        audited.append(AuditedRow(number, row["image"], 96, 64, box, CAPTIONS, again, CAPTIONS, CAPTIONS, sha256))
    path = make_output(rows)
    write_audit(outputs_at(Filesystems().place(str(path))), measure(audited, seed=0).as_json())
    return path


def section_of(page: str) -> str:
    return page.partition('<section class="audit"')[2].partition("</section>")[0].replace("\xa0", " ")


def test_the_figures_and_where_captions_went(output: Path) -> None:
    page = page_of(output)
    section = section_of(page)
    assert "<b>98.9 %</b> consistent" in section
    assert "follow another box <b>1.1 %</b> <span>2</span>" in section
    assert '<a href="#r4">#4 <bdi class="name">p4.png</bdi></a>' in section
    assert "with other numbers: <b>1&nbsp;→&nbsp;2</b>, <b>2&nbsp;→&nbsp;1</b>" in section
    assert "mixes up in the same way every time look consistent" in section
    assert "with other numbers, what <b>region 2</b> has: A brown dog with a collar." in page
    assert "<b>An old oak" not in page


def test_captions_that_were_replaced_since_are_counted_and_not_listed(output: Path) -> None:
    output.write_text(output.read_text().replace(CAPTIONS[0], "A green bus."))
    section = section_of(page_of(output))
    assert "1 of the captions found are not in the output" in section
    assert "<b>2&nbsp;→&nbsp;1</b>" in section
    assert "1&nbsp;→&nbsp;2" not in section


def test_rows_are_found_again_wherever_they_are(output: Path) -> None:
    lines = output.read_text().splitlines(keepends=True)
    output.write_text("".join(reversed(lines)))
    assert '<a href="#r27">#27 <bdi class="name">p4.png</bdi></a>' in section_of(page_of(output))


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:50],
        lambda text: "[1, 2]",
        lambda text: '{"schema": 1}',
        lambda text: text.replace('"schema":1', '"schema":99'),
        lambda text: text.replace('"arms":{', '"arms":[], "x":{'),
        lambda text: text.replace('"follows":', '"follows":null,"x":'),
    ],
)
def test_a_file_that_is_no_audit_leaves_the_page_without_the_section(output: Path, damage: Any) -> None:
    file = output.with_name("out.audit.json")
    file.write_text(damage(file.read_text()))
    page = page_of(output)
    assert '<section class="audit"' not in page
    assert "A red bus by the kerb." in page


def test_damaged_findings_are_left_out(output: Path) -> None:
    file = output.with_name("out.audit.json")
    file.write_text(file.read_text().replace('"another":1', '"another":"x"', 1))
    assert "<b>2&nbsp;→&nbsp;1</b>" in section_of(page_of(output))
