"""The JSON codec: everything that comes in goes out unchanged, as valid JSON."""

from __future__ import annotations

import copy
import datetime as dt
import decimal
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regioncap.errors import RowReject
from regioncap.records import (
    MAX_DEPTH,
    MAX_REJECT_CHARS,
    Counts,
    NestedTooDeep,
    check_boxes,
    count_rejects,
    dumps,
    dumps_sorted,
    is_number,
    jsonable,
    loads,
    loads_given,
    not_a_row,
    read_lines,
    reason_not_a_row,
    rejected,
    shorten,
    to_lines,
)

UNCHANGED: list[Any] = [
    "007", 10**19 - 1, -(10**19 - 1), 2**64 - 1, 2**64, 10**30, -(2**63), -(2**63) - 1, 0.1, "\u2028", "é", "\ud800",
    {"b": 1, "a": 2}, None, [],
]  # fmt: skip


@pytest.mark.parametrize("value", UNCHANGED, ids=ascii)
def test_values_come_back_as_they_were(value: Any) -> None:
    assert loads(dumps(value)) == value
    assert b"\n" not in dumps(value)


def test_keys_keep_their_order() -> None:
    assert list(loads(dumps({"b": 1, "a": 2}))) == ["b", "a"]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_what_json_has_no_number_for_is_null(number: float) -> None:
    assert dumps([number]) == b"[null]"
    assert dumps([number, 10**30]) == b"[null,1000000000000000000000000000000]"


JSONABLE = {
    "bytes": (b"\x00\xff", "AP8="),
    "date": (dt.date(2026, 11, 24), "2026-11-24"),
    "time": (dt.datetime(2026, 11, 24, tzinfo=dt.UTC), "2026-11-24T00:00:00+00:00"),
    "decimal": (decimal.Decimal("1.10"), "1.10"),
    "array": (np.array([[1, 2]]), [[1, 2]]),
    "nested": ({1: (b"a", float("nan"))}, {"1": ["YQ==", None]}),
}


@pytest.mark.parametrize("name", JSONABLE)
def test_values_of_other_formats_become_json(name: str) -> None:
    value, expected = JSONABLE[name]
    assert jsonable(value) == expected


@pytest.mark.parametrize("text", [b"", b"{", b"not json", b"\xff\xfe", b"[" * 100_000], ids=lambda text: repr(text[:9]))
def test_what_is_no_json_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        loads(text)


def test_nan_in_the_input_is_read() -> None:
    (number,) = loads(b"[NaN]")
    assert number != number


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@settings(derandomize=True, max_examples=200)
@given(st.lists(st.dictionaries(st.text(), JSON, max_size=4), max_size=4))
def test_rows_survive_a_step_file(rows: list[dict[str, Any]]) -> None:
    assert list(read_lines(to_lines(rows))) == rows
    assert all(isinstance(json.loads(line), dict) for line in to_lines(rows).splitlines() if line)


def test_rejects_are_counted_by_step() -> None:
    rows = [{"image": "a"}, rejected("load", "bad_json", ""), rejected("caption", "caption_failed", "")]
    assert count_rejects(rows, "caption") == (2, 1)
    assert count_rejects(rows, "load") == (2, 0)
    assert count_rejects([], "load") == (0, 0)


def test_counts_add_up_and_show_what_is_new() -> None:
    counts = Counts(rows=1, finish_reasons={"stop": 2}, step_seconds={"load": 0.5})
    earlier = copy.deepcopy(counts)
    more = Counts(rows=2, rejects=1, finish_reasons={"stop": 1, "length": 1}, step_seconds={"route": 1.0})
    counts.add(more)
    assert counts == Counts(
        rows=3, rejects=1, finish_reasons={"stop": 3, "length": 1}, step_seconds={"load": 0.5, "route": 1.0}
    )
    assert counts.since(earlier) == Counts(
        rows=2, rejects=1, finish_reasons={"stop": 1, "length": 1}, step_seconds={"load": 0.0, "route": 1.0}
    )


def test_a_misspelt_count_is_an_error() -> None:
    with pytest.raises(TypeError, match="request_retried"):
        Counts(request_retried=1)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "value",
    [
        {"b": {"z": 1, "a": [1, (2, 3.5)]}, "a": None},
        {"é": 1, "z": 2, "狗": 3, "\U0001f600": 4, "\uffee": 5, "Z": 6},
        {"b": 2**70, "a": "\ud800", "c": (1, {"y": 1, "x": 2})},
    ],
)
def test_sorted_json_is_that_of_sorted_objects(value: Any) -> None:
    def in_order(item: Any) -> Any:
        if isinstance(item, dict):
            return {name: in_order(item[name]) for name in sorted(item)}
        return [in_order(each) for each in item] if isinstance(item, list | tuple) else item

    assert dumps_sorted(value) == dumps(in_order(value))
    assert dumps_sorted(dict(reversed(value.items()))) == dumps_sorted(value)


# --- what is no good of what others gave


def deep(levels: int, opening: str = "[", closing: str = "]") -> bytes:
    return (opening * levels + "0" + closing * levels).encode()


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")], ids=["lists", "objects"])
def test_what_is_read_can_be_written_deep_inside_a_row(opening: str, closing: str) -> None:
    value = loads_given(deep(MAX_DEPTH, opening, closing))
    wrapped = {"meta_info": {"region_fields": {"a": [[value, 10**30]]}}, "row": sorted({"\ud800"})}
    for written in (dumps, dumps_sorted):
        assert loads(written(wrapped)) == wrapped
    for levels in (MAX_DEPTH + 1, 300, 500, 1000, 100_000):
        with pytest.raises(NestedTooDeep, match="nested more than 200 deep"):
            loads_given(deep(levels, opening, closing))


def test_many_brackets_beside_each_other_are_not_deep() -> None:
    text = b"[" + b",".join([b"[[1],{}]"] * 500) + b"]"
    assert len(loads_given(text)) == 500


HUGE = int("9" * 400)


@pytest.mark.parametrize("value", [HUGE, -HUGE, 10**400, float("nan"), float("-inf"), True, None, "1", [1]])
def test_what_float64_cannot_hold_is_no_number(value: Any) -> None:
    assert not is_number(value)


def test_a_coordinate_of_400_digits_costs_its_box() -> None:
    assert check_boxes([[HUGE, 1, 2, 3], [1, 2.5, 10**300, 4]]) == [[None, 1, 2, 3], [1, 2.5, 10**300, 4]]


@pytest.mark.parametrize(
    "value", ["x" * 10**6, b"x" * 10**6, ["x" * 10**6], [[1, 2]] * 10**5, {"bytes": "x" * 10**6}, HUGE, "\x1b]0;evil"]
)
def test_a_message_quotes_little_of_a_value(value: Any) -> None:
    assert len(shorten(value)) <= 80
    with pytest.raises(RowReject) as caught:
        check_boxes([value, 1])
    assert len(caught.value.message) < 200
    assert "\x1b" not in caught.value.message


def test_small_values_are_quoted_as_they_are() -> None:
    assert [shorten(value) for value in ([1, "a"], "b", {"b": 1, "a": None})] == [
        "[1, 'a']",
        "'b'",
        "{'b': 1, 'a': None}",
    ]
    assert "***" in shorten({"api_key": "sk-1234567890abcdef"})


def test_no_reject_has_an_endless_message() -> None:
    assert len(rejected("caption", "caption_failed", "x" * 10**6)["reject"]["message"]) == MAX_REJECT_CHARS - 2


def test_what_stands_for_a_row_says_why() -> None:
    assert reason_not_a_row(not_a_row("a line\nof 9 bytes", b"begin\0")) == ("a line of 9 bytes", b"begin\0")
    assert reason_not_a_row(b'{"image": "a.png"}') is None
