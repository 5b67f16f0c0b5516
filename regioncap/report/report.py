"""The report: one page with pictures, boxes and captions, written beside the output.

Made from an existing output, or (`regioncap/command/partial_report.py`) from the step files of an unfinished run.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from regioncap.errors import RowReject, UsageError
from regioncap.output.audit_file import read_audit
from regioncap.output.caption_flags import MEANINGS
from regioncap.output.pictures import Pictures
from regioncap.output.reading import Captioned, Written
from regioncap.records import Row
from regioncap.report.audit_findings import Findings
from regioncap.report.audit_section import audit_section
from regioncap.report.card_picture import CardPicture, card_picture
from regioncap.report.cards import caption_budget, card_of, reject_card
from regioncap.report.compare import (
    Against,
    Comparison,
    Other,
    add_comparison,
    add_reject_comparison,
    change_of_reject,
    change_of_row,
    words_changed,
)
from regioncap.report.editable import exact_budget
from regioncap.report.page import render
from regioncap.report.selection import Overview, Picked, Reservoirs, pick, sample_row
from regioncap.report.source import ChosenRows, ReportOptions, Source, reject_image
from regioncap.report.words import page_of
from regioncap.row_work import row_work
from regioncap.storage.filesystem import Filesystems, Place
from regioncap.storage.steps import digest
from regioncap.vision.libraries import image_libraries

REPORT_VERSION = 4
"""Part of a page's key: raise it when the same rows give a different page."""

PAGE_SHARE_PER_GROUP = 40
PAGE_SHARE_PER_CHANGE = 4
"""At most 1/40 of a page's pictures are examples of one reject code or flag, and 1/4 of one kind of change."""

READ_AHEAD = 4
"""Pictures prepared in advance, per thread."""

KEY_BYTES = 4096
"""The key is within the first bytes of a page."""


@dataclass(frozen=True)
class ReportResult:
    """A written page: where it is, how many pictures it shows, of how many rows, and its size."""

    place: Place
    shown: int
    rows: int
    bytes: int


def report_place(output: Place, files: Filesystems, against: Place | None = None) -> Place:
    """Where the page of an output is written: `out.report.html` beside `out.jsonl`, or beside the folder of parts; of a
    comparison with `against` `out.against-other.report.html`."""
    stem = _stem(output)
    if against is None:
        return files.place(f"{stem}.report.html")
    folder, _, name = _stem(against).rpartition("/")
    if name == stem.rpartition("/")[2]:  # the same name in another folder
        name = f"{folder.rpartition('/')[2] or 'root'}-{name}"
    return files.place(f"{stem}.against-{name}.report.html")


def _stem(output: Place) -> str:
    return output.address.rstrip("/").removesuffix(".jsonl")


def report_of(
    written: Written,
    files: Filesystems,
    *,
    out: Place | None = None,
    against: Written | None = None,
    where: Sequence[str] = (),
    most: int | None = None,
    overwrite: bool = True,
) -> ReportResult:
    """Write the page of an output, or of those of its rows and regions that meet all conditions of `where`.

    `overwrite=False` reuses an existing page of the same content. Raises UsageError for a file that is not an output
    and for conditions that no row meets, StorageError.
    """
    out = out or report_place(written.place, files, against.place if against else None)
    most = most or written.settings.report_rows
    summary = written.summary
    audit = read_audit(written.place, incomplete=written.incomplete) if against is None else None
    keys = [one.summary.write_key if one and one.summary else "" for one in (written, against)]
    known = all(keys[: 2 if against else 1])
    setting = ReportOptions(
        written.place.url,
        written.settings,
        Pictures(written, files),
        tuple(where),
        summary,
        against,
        against.place.url if against else "",
        "This run is incomplete: " + summary.problem if summary is not None and written.incomplete else "",
        audit=audit,
        key=digest([REPORT_VERSION, keys, most, written.place.url, *where, audit]) if known else "",
    )
    if not overwrite and is_report_of(out, setting.key):
        rows = summary.rows_in if summary else 0
        return ReportResult(out, min(rows, most), rows, out.size() or 0)
    return write_report(written, setting, out, most)


def is_report_of(place: Place, key: str) -> bool:
    """Whether the page at `place` has this key."""
    if not key or place.size() is None:
        return False
    with place.open() as file:
        return f'name="regioncap-key" content="{key}"'.encode() in file.read(KEY_BYTES)


@image_libraries
def write_report(source: Source, setting: ReportOptions, out: Place, most: int) -> ReportResult:
    """Write the page of `source` with at most `most` pictures to `out`, all or nothing. Raises as `report_of` does."""
    if setting.where:
        source = ChosenRows(source, setting.where)
    findings = Findings(setting.audit or {})
    overview, picked, versus = _survey(source, setting, most, findings)
    if setting.where and not overview.rows:
        raise UsageError("--where: no row satisfies all conditions; the report would be empty")
    count = len(picked.rows) + len(picked.rejects)
    page = page_of(overview, count, picked, versus, setting, MEANINGS)
    page.audit = audit_section(setting.audit, findings) if setting.audit else None
    size = 0
    with out.writer() as file:
        for text in render(page, overview, count, _cards(source, setting, picked, count, findings), versus):
            size += file.write(text.encode("utf-8", "replace"))
    return ReportResult(out, count, overview.all, size)


# --- which rows


def _survey(
    source: Source, setting: ReportOptions, most: int, findings: Findings
) -> tuple[Overview, Picked, Comparison | None]:
    """Count all rows and choose which to show, in one pass."""
    found = Overview(not_begun=setting.not_begun)
    versus = Comparison() if setting.against is not None else None
    special = Reservoirs(max(1, most // PAGE_SHARE_PER_GROUP))
    changes, changed_rejects = (Reservoirs(max(1, most // PAGE_SHARE_PER_CHANGE)) for _ in range(2))
    rejected = Reservoirs(max(1, most // PAGE_SHARE_PER_GROUP))
    other = _against(setting)
    for number, row in enumerate(source.rows(), start=1):
        found.rows += 1
        with passed_over(row.image):
            found.add(row)
            sample_row(special, row, number)
            findings.look_at(row, number)
            if other is not None and versus is not None:
                change = _compare_row(row, other.of_row(row), versus)
                if change != "same":
                    changes.offer(change, number)
    for number, reject in enumerate(source.rejects(), start=1):
        code = str(reject.get("code"))
        found.add_reject(code)
        rejected.offer(code, number)
        if other is not None and versus is not None:
            with passed_over(f"reject {number}"):
                change = change_of_reject(code, other.of_reject(reject_image(reject, setting.config.image_key)))
                versus.changes[change] += 1
                if change not in ("same", "not_yet"):
                    changed_rejects.offer(change, number)
    if other is not None and versus is not None:
        versus.only_there, versus.codes_before = other.left(), other.codes
        versus.flags_before, versus.flagged_before = other.flags, other.flagged
    rows = special.numbers() | changes.numbers() | findings.worst().keys()
    rejects = rejected.numbers() | changed_rejects.numbers()
    return found, pick(found, rows, rejects, most), versus


@contextlib.contextmanager
def passed_over(row: str) -> Iterator[None]:
    """In this block a row's own failure ends the block and nothing else."""
    with contextlib.suppress(RowReject), row_work("report", row):
        yield


def _against(setting: ReportOptions) -> Against | None:
    return Against(setting.against, setting.config.image_key) if setting.against is not None else None


def _compare_row(row: Captioned, other: Other | None, versus: Comparison) -> str:
    change = change_of_row(row, other)
    versus.changes[change] += 1
    if other is not None and not other.code:
        same, changed, words = words_changed(row, other)
        versus.captions_same += same
        versus.captions_changed += changed
        versus.words += words
    return change


# --- the pictures


def _cards(source: Source, setting: ReportOptions, picked: Picked, count: int, findings: Findings) -> Iterator[Row]:
    """The cards of the chosen rows, in order; thumbnails are made in parallel."""
    room, other = caption_budget(count), _against(setting)
    order = 0

    def of_row(row: Captioned, order: int, theirs: Other | None) -> Callable[[], Row]:
        def make() -> Row:
            card = card_of(row, order, card_picture(row.ref, row, setting, count), room, exact_budget(count))
            for place, found in findings.of_row(row).items():
                card["regions"][place]["audit"] = found
            if other is not None:
                add_comparison(card, row, theirs, change_of_row(row, theirs), room)
            return card

        return partial(_card, make, row.number, order, row.image)

    def of_reject(reject: Row, number: int, order: int, theirs: Other | None) -> Callable[[], Row]:
        def make() -> Row:
            image = reject_image(reject, setting.config.image_key)
            picture = card_picture(image, None, setting, count) if image else CardPicture()
            card = reject_card(reject, number, order, str(image or ""), picture)
            if other is not None:
                add_reject_comparison(card, theirs)
            return card

        return partial(_card, make, number, order, "")

    def makers() -> Iterator[Callable[[], Row]]:
        nonlocal order
        # Every row is looked up, shown or not, so that the other run's rows are matched as in the survey.
        for number, row in enumerate(source.rows(), start=1):
            theirs = None
            with passed_over(row.image):
                theirs = other.of_row(row) if other is not None else None
            if number in picked.rows:
                order += 1
                yield of_row(row, order, theirs)
        for number, reject in enumerate(source.rejects(), start=1):
            theirs = None
            with passed_over(f"reject {number}"):
                theirs = other.of_reject(reject_image(reject, setting.config.image_key)) if other is not None else None
            if number in picked.rejects:
                order += 1
                yield of_reject(reject, number, order, theirs)

    yield from _in_order(makers())


def _card(make: Callable[[], Row], number: int, order: int, image: str) -> Row:
    """The card that `make` makes, or one that says why it cannot be made."""
    try:
        with row_work("report", image or f"reject {number}"):
            return make()
    except RowReject as reject:
        shown = {"line": number, "step": "report", "code": reject.code, "message": reject.message}
        return {**reject_card(shown, number, order, image, CardPicture(gone=reject.message)), "id": f"f{order}"}


def _in_order(makers: Iterator[Callable[[], Row]]) -> Iterator[Row]:
    """Run `makers` in threads and yield their results in order; only `READ_AHEAD` per thread are held in memory."""
    threads = os.cpu_count() or 1
    ahead: deque[Future[Row]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="report") as pool:
        for make in makers:
            ahead.append(pool.submit(make))
            if len(ahead) >= READ_AHEAD * threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
