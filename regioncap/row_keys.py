"""What a row holds under a key that a setting names: `bbox`, or a path into the row such as `objects.bbox`.

Everything that looks a key up in a row does it here, so that one spelling means the same in every setting.
"""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from regioncap.errors import RowReject
from regioncap.masking import outside_text
from regioncap.records import Box, Row, check_boxes, cut_text, loads_given, shorten


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()
"""What `value_at` returns for a key that a row does not have; a null that the row has is None."""

MAX_PATH_DEPTH = 5
MAX_PATHS = 300
"""Paths of one row that are looked at; rows are untrusted."""

MAX_KEY_CHARS = 200
"""No setting names a longer key."""

SAMPLED_ITEMS = 20
"""Items of a list of objects whose keys are looked at to name its paths."""


def value_at(row: Any, key: str, default: Any = MISSING) -> Any:
    """The value of `key` in `row`, or `default`: that of the key itself, else that at the path which its dots describe.

    A list of objects on the way gives the list of what each has there, null for one without it, so that such lists stay
    parallel; a number takes one item of a list, from 0. JSON text on the way, as in CSV, counts as what it says.

    >>> value_at({"objects": {"bbox": [[1, 2, 3, 4]]}}, "objects.bbox")
    [[1, 2, 3, 4]]
    >>> value_at({"annotations": [{"id": 7, "bbox": [1, 2, 3, 4]}, {"id": 8}]}, "annotations.bbox")
    [[1, 2, 3, 4], None]
    >>> value_at({"images": ["a.jpg", "b.jpg"]}, "images.1")
    'b.jpg'
    """
    found = _at(row, key)
    return default if found is MISSING else found


def _at(value: Any, key: str) -> Any:
    value = _read_text(value)
    if isinstance(value, dict):
        return value[key] if key in value else _at_path(value, key)
    return _in_list(value, key) if isinstance(value, list) else MISSING


def _read_text(value: Any) -> Any:
    """What JSON text of an object or a list holds; anything else as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        with contextlib.suppress(ValueError):
            return loads_given(value.encode("utf-8", "surrogatepass"))
    return value


def _at_path(value: Row, key: str) -> Any:
    """The value at a path of at least two parts; the first may have dots of its own, the longest wins."""
    dot = key.rfind(".")
    while dot >= 0:
        if key[:dot] in value and (found := _at(value[key[:dot]], key[dot + 1 :])) is not MISSING:
            return found
        dot = key.rfind(".", 0, dot)
    return MISSING


def _in_list(items: list[Any], key: str) -> Any:
    head, dot, rest = key.partition(".")
    if re.fullmatch(r"[0-9]{1,9}", head):
        one = items[int(head)] if int(head) < len(items) else MISSING
        return _at(one, rest) if dot else one
    values = [_at(item, key) for item in items]
    if items and all(value is MISSING for value in values):
        return MISSING
    return [None if value is MISSING else value for value in values]


def holders_at(row: Any, key: str) -> Iterator[tuple[Any, Any]]:
    """(object or list, key or index) of each value that `value_at` finds, to replace it there; none in JSON text.

    >>> row = {"turns": [{"image": "a.jpg"}, {}]}
    >>> [(holder, place)] = holders_at(row, "turns.image")
    >>> holder[place] = "b.jpg"
    >>> row
    {'turns': [{'image': 'b.jpg'}, {}]}
    """
    if isinstance(row, list):
        head, dot, rest = key.partition(".")
        if not re.fullmatch(r"[0-9]{1,9}", head):
            yield from (found for item in row for found in holders_at(item, key))
        elif int(head) < len(row):
            yield from holders_at(row[int(head)], rest) if dot else [(row, int(head))]
    elif isinstance(row, dict):
        yield from [(row, key)] if key in row else _holders_at_path(row, key)


def _holders_at_path(row: Row, key: str) -> list[tuple[Any, Any]]:
    dot = key.rfind(".")
    while dot >= 0:
        if key[:dot] in row and (found := list(holders_at(row[key[:dot]], key[dot + 1 :]))):
            return found
        dot = key.rfind(".", 0, dot)
    return []


def boxes_at(row: Row, key: str) -> list[Box] | None:
    """The boxes of a row, as `check_boxes` returns them. Raises RowReject `bad_bbox`.

    In a list of objects, one without a box counts as a box without numbers, which is dropped later with a reason.
    """
    value = value_at(row, key, None)
    if key not in row and isinstance(value, list) and any(isinstance(box, list) for box in value):
        value = [[None] * 4 if box is None else box for box in value]
    return check_boxes(value)


def image_name_at(row: Row, key: str) -> str:
    """The path or URL of a row's image. Raises RowReject `bad_row` where there is none, or more than one."""
    value = value_at(row, key)
    if value is MISSING:
        raise _no_image(f"there is no key {key!r}")
    return _image_name(value, key)


def _image_name(value: Any, key: str) -> str:
    """The image that a row's value names: text, a list of one, or Hugging Face's `{"path": …, "bytes": null}`."""
    match value:
        case str() if value.strip():
            return value
        case [one]:
            return _image_name(one, key)
        case []:
            raise RowReject("bad_row", f"{key!r} holds no image; expected one")
        case list():
            hint = f"; image_key={key}.0 takes the first"
            raise RowReject("bad_row", f"{key!r} holds {len(value)} images; expected one{hint}")
        case {"path": str(path)} if path.strip() and value.get("bytes") is None:
            return path
    raise _no_image(f"{key!r} is {shorten(value)}")


def _no_image(got: str) -> RowReject:
    return RowReject("bad_row", f"expected the path or URL of an image, but {got}; see image_key")


# --- which keys there are


def paths_of(row: Row) -> list[str]:
    """Every key and path of a row, in the row's order; at most `MAX_PATHS`.

    >>> paths_of({"image": "a.jpg", "objects": [{"bbox": [1, 2, 3, 4]}]})
    ['image', 'objects', 'objects.bbox']
    """
    return list(islice(_paths(row, MAX_PATH_DEPTH), MAX_PATHS))


def _paths(value: Any, depth: int) -> Iterator[str]:
    for name, inner in _members(value).items() if depth else ():
        if len(name) <= MAX_KEY_CHARS:
            yield name
            yield from (f"{name}.{path}" for path in _paths(inner, depth - 1))


def _members(value: Any) -> Row:
    """The members of an object; of a list of objects, those that any of its first has, each with the list of values."""
    value = _read_text(value)
    if isinstance(value, dict):
        return value
    items = value[:SAMPLED_ITEMS] if isinstance(value, list) else []
    if items and all(isinstance(item, list) for item in items):
        return _members([one for item in items for one in item[:SAMPLED_ITEMS]])
    if not items or not all(isinstance(item, dict) for item in items):
        return {}
    names = dict.fromkeys(name for item in items for name in islice(item, MAX_PATHS))
    return {name: [item[name] for item in items if name in item] for name in names}


def near_key(key: str, known: Iterable[str]) -> str | None:
    """The one of the `known` keys that `key` was probably meant to be."""
    by_form: dict[str, str] = {}
    for one in known:
        by_form.setdefault(_plain(one), one)
    by_end: dict[str, str] = {}
    for form, one in by_form.items():
        by_end.setdefault(form.rpartition(".")[2], one)
    for forms, wanted in ((by_form, _plain(key)), (by_end, _plain(key).rpartition(".")[2])):
        if near := difflib.get_close_matches(wanted, forms, 1):
            return forms[near[0]]
    return None


def _plain(key: str) -> str:
    return re.sub(r"[\s_-]", "", key.casefold())


def keys_in_words(key: str, known: Iterable[str]) -> str:
    """The `known` keys for a message about `key`, which is none of them: the nearest first."""
    names = list(known)
    near = near_key(key, names)
    hint = f"did you mean {shorten(near)}? " if near else ""
    the = "The" if near else "the"
    return f"{hint}{the} rows have: {cut_text(outside_text(', '.join(names)[:1000]), 110)}"
