"""Which region has which text in a JSON value: by key, by a field, or by place in a list."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from regioncap.captioners.reading.labels import is_ordinal, number_named
from regioncap.captioners.reading.lazy_pattern import lazy_pattern
from regioncap.captioners.reading.lenient_json import Pairs, Value, find_values

_TEXT_FIELDS = (
    "caption", "description", "text", "content", "desc", "sentence", "region_caption", "region_description",
    "detailed_caption", "描述", "说明", "説明", "キャプション", "설명", "캡션", "beschreibung", "légende",
    "legende", "descripción", "descripcion", "descrizione", "descrição", "описание", "answer", "output", "response",
    "value",
)  # fmt: skip
"""Where the caption of a region's object is, best first."""

_NUMBER_FIELDS = (
    "region", "region_id", "regionid", "region_number", "region_no", "region_index", "region_label", "region_name",
    "mark", "box", "box_id", "区域", "區域", "领域", "領域", "영역", "bereich", "région", "región", "regione",
    "region_num", "id", "number", "index", "no", "num", "label", "name", "key", "tag", "object", "编号", "番号",
    "번호", "nummer",
)  # fmt: skip
"""Where its number is, best first."""

_REGION_FIELDS = frozenset(_NUMBER_FIELDS[: _NUMBER_FIELDS.index("region_num") + 1])
"""Those that hold nothing but what says which region it is."""

_NUMBERING = lazy_pattern(
    r"(?:.*[ _-])?(?:id|idx|index|no|num|number|nr|n|i|key|region|box|bbox|object|mark|rank|order|position)s?"
)
"""Fields that may hold a number which is not understood."""

DRAFTS = ("reasoning", "thought", "thoughts", "thinking", "analysis", "draft", "drafts", "rationale", "scratchpad")
_PLACES = ("bbox", "bbox_2d", "box_2d", "bounding_box", "coordinates", "point_2d")

_KNOWN_FIELDS = frozenset((*_TEXT_FIELDS, *_NUMBER_FIELDS, *DRAFTS, *_PLACES))
"""Names that are no labels."""


@dataclass
class JsonTexts:
    """The texts of a value. `pairs`: (scheme, number, text) by label. `items`: texts without one, None where a list is
    nothing but such texts no more."""

    pairs: list[tuple[str, int, str]] = field(default_factory=list)
    items: list[str] | None = field(default_factory=list)

    @property
    def holds_texts(self) -> bool:
        """Whether there are texts without a label that are more than a label in brackets."""
        return self.items is None or any(not number_named(item) for item in self.items)


def texts_in(value: Any) -> JsonTexts:
    """The texts in one JSON value, wherever in it.

    As in `{"regions": {"region1": "…"}}`, `[{"id": 2, "caption": "…"}, …]`.
    """
    found = JsonTexts()
    _walk(value, found)
    return found


def text_of(value: Any) -> str | None:
    """The one text of a region's entry: itself, that of its best field, or its only one that is no label."""
    if isinstance(value, list) and not isinstance(value, Pairs):
        return value[0] if len(value) == 1 and isinstance(value[0], str) else None
    if not isinstance(value, Pairs):
        return value if isinstance(value, str) else None
    if any(name not in _KNOWN_FIELDS and number_named(name) for name, _ in value):
        return None
    fields = [(name.strip().lower(), text) for name, text in value if isinstance(text, str) and text.strip()]
    if not fields:
        return None
    for wanted in _TEXT_FIELDS:
        texts = [text for name, text in fields if name == wanted]
        if texts:
            return texts[0] if len(set(texts)) == 1 else None
    texts = [text for _, text in fields if not number_named(text)]
    return texts[0] if len(texts) == 1 else None


def _walk(value: Any, found: JsonTexts) -> None:
    if isinstance(value, Pairs):
        _walk_object(value, found)
    elif isinstance(value, list):
        _walk_list(value, found)


def _walk_object(pairs: Pairs, found: JsonTexts) -> None:
    named = [(None if name in _KNOWN_FIELDS else number_named(name), entry) for name, entry in pairs]
    if any(name for name, _ in named):
        for name, entry in named:
            text = text_of(entry)
            if name and text is not None:
                found.pairs.append((*name, text))
        return
    number, text = _number_of(pairs), text_of(pairs)
    if number and text is not None:
        found.pairs.append((*number, text))
        return
    if text is not None and _is_numbered_somehow(pairs):
        found.items = None
    inner = [entry for name, entry in pairs if isinstance(entry, list) and name.strip().lower() not in DRAFTS]
    inner += [value.value for name, entry in pairs for value in _encoded(name, entry)]
    if not any(inner) and text is not None and any(name.strip().lower() in _TEXT_FIELDS for name, _ in pairs):
        _item(text, found)
    for entry in inner:
        _walk(entry, found)


def _encoded(name: str, entry: Any) -> list[Value]:
    """The value in a string that is JSON itself, as the arguments of a call are."""
    if (
        not isinstance(entry, str)
        or name.strip().lower() in (*DRAFTS, *_TEXT_FIELDS)
        or entry.lstrip()[:1] not in ("{", "[")
    ):
        return []
    return [value for value in find_values(entry) if value.whole and value.end == len(entry.rstrip())]


def _walk_list(entries: list[Any], found: JsonTexts) -> None:
    for entry in entries:
        if isinstance(entry, str):
            _item(entry, found)
        elif isinstance(entry, Pairs):
            if any(name.strip().lower() in _PLACES for name, _ in entry) and not _number_of(entry) and len(entries) > 1:
                found.items = None  # Boxes that it found itself may be in another order.
            _walk(entry, found)
        elif isinstance(entry, list) and len(entry) == 2 and isinstance(entry[1], str):
            name = number_named(str(entry[0]))
            if name:
                found.pairs.append((*name, entry[1]))


def _item(text: str, found: JsonTexts) -> None:
    values = find_values(text) if text.lstrip()[:1] in ("{", "[") else []
    if len(values) == 1 and values[0].whole and values[0].end == len(text.rstrip()):
        _walk(values[0].value, found)  # JSON within a string of JSON
    elif found.items is not None:
        found.items.append(text)


def _number_of(pairs: Pairs) -> tuple[str, int] | None:
    fields = {
        name.strip().lower(): entry for name, entry in pairs if isinstance(entry, str | int) and str(entry).strip()
    }
    for name in _NUMBER_FIELDS:
        found = number_named(str(fields[name])) if name in fields else None
        if found:
            return name, found[1]
    others = {name: number_named(str(entry)) for name, entry in fields.items() if _NUMBERING.fullmatch(name)}
    numbers = {name: found[1] for name, found in others.items() if found}
    return numbers.popitem() if len(numbers) == 1 else None


def _is_numbered_somehow(pairs: Pairs) -> bool:
    """Whether a field may say which region it is, in a way that is not understood: a whole number in any field, a
    region's name in any but its texts, or whatever stands in a field that has no other use."""
    return any(_may_number(name.strip().lower(), entry) for name, entry in pairs if isinstance(entry, str))


def _may_number(name: str, entry: str) -> bool:
    if name in _PLACES or name in _TEXT_FIELDS or not entry.strip():
        return False
    if _NUMBERING.fullmatch(name) and re.search(r"\d", entry):
        return True
    return name in _REGION_FIELDS or number_named(entry) is not None or is_ordinal(entry)


def text_of_piece(piece: str) -> str:
    """The text of a labelled piece of an answer: where that is one JSON value, of the value."""
    values = find_values(piece) if "{" in piece or "[" in piece else []
    if len(values) != 1 or not values[0].whole:
        return piece
    around = piece[: values[0].begin] + piece[values[0].end :]
    text = text_of(values[0].value) if not around.strip("`json \n") else None
    return piece if text is None else text
