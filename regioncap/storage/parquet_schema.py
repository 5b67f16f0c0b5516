"""Where the images of a Parquet file are: which of its columns holds their bytes, at which place in a row.

pyarrow is optional, and imported when a file needs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

BYTES, PATH = "bytes", "path"
"""The fields of Hugging Face's images: what `datasets` writes for its features Image and Audio."""

ANY = -1
"""A step into a list that must have one item."""

MAP = "{}"
"""A step into a map, which is read as a whole."""

Step = str | int
"""Into a struct by name, or into a list by index."""


@dataclass(frozen=True)
class ImageColumn:
    """The bytes of a file's images.

    `leaf`: the index of the column among the file's leaves. `steps`: the way from a row to an image, through structs
    and lists. `in_struct`: whether the bytes are there in a field of their own, maybe beside a path.
    """

    leaf: int
    steps: tuple[Step, ...]
    in_struct: bool

    def cell(self, row: Any) -> Any:
        """The Arrow scalar with a row's bytes, None where there are none. `row`: the scalar of its whole column.

        Raises LookupError for a list without the item, or with more than the one.
        """
        value = row
        for step in (*self.steps[1:], *([BYTES] if self.in_struct else [])):
            if not value.is_valid:
                return None
            if isinstance(step, int):
                if step == ANY and len(value.values) != 1:
                    raise LookupError(f"a list of {len(value.values)} images; expected one")
                value = value.values[max(step, 0)]
            else:
                value = value[step]
        return value if value.is_valid else None


def image_column(schema: Any, key: str) -> ImageColumn | None:
    """The column that holds the bytes of the images that `key` names (`image`, `sample.image`, `images.0`); None where
    the images are named by paths. `schema`: the file's Arrow schema."""
    import pyarrow as pa

    found = _find({field.name: field.type for field in schema}, key, pa)
    if found is None:
        return None
    steps, in_struct = found
    plain = tuple(ANY if isinstance(step, int) else step for step in steps) + ((BYTES,) if in_struct else ())
    return ImageColumn(list(leaves(schema)).index(plain), steps, in_struct)


def leaves(schema: Any) -> Iterator[tuple[Step, ...]]:
    """The way to each leaf, in the order of the file's columns; `ANY` for each list."""
    import pyarrow as pa

    for field in schema:
        yield from _leaves_of(field.type, (field.name,), pa)


def _leaves_of(kind: Any, way: tuple[Step, ...], pa: Any) -> Iterator[tuple[Step, ...]]:
    if isinstance(kind, pa.ExtensionType):
        yield from _leaves_of(kind.storage_type, way, pa)
    elif pa.types.is_struct(kind):
        for field in kind:
            yield from _leaves_of(field.type, (*way, field.name), pa)
    elif pa.types.is_map(kind):
        for part in (kind.key_type, kind.item_type):
            yield from _leaves_of(part, (*way, MAP), pa)
    elif _is_list(kind, pa):
        yield from _leaves_of(kind.value_type, (*way, ANY), pa)
    else:
        yield way


Way = tuple[tuple[Step, ...], bool]


def _find(fields: dict[str, Any], key: str, pa: Any) -> Way | None:
    """The way to the images under `key`; a name may have dots of its own, the longest wins."""
    end = len(key)
    while end > 0:
        if key[:end] in fields and (found := _below(fields[key[:end]], key[end + 1 :], pa)) is not None:
            return (key[:end], *found[0]), found[1]
        end = key.rfind(".", 0, end)
    return None


def _below(kind: Any, rest: str, pa: Any) -> Way | None:
    """The way to the images at the path `rest` in values of a type."""
    if _is_list(kind, pa):
        head, _, behind = rest.partition(".")
        if rest and not head.isdecimal():
            return None
        found = _below(kind.value_type, behind, pa)
        return found and ((int(head) if rest else ANY, *found[0]), found[1])
    if pa.types.is_struct(kind):
        fields = {field.name: field.type for field in kind}
        if rest:
            return _find(fields, rest, pa)
        return ((), True) if BYTES in fields and _is_binary(fields[BYTES], pa) else None
    return ((), False) if not rest and _is_binary(kind, pa) else None


def _is_list(kind: Any, pa: Any) -> bool:
    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _is_binary(kind: Any, pa: Any) -> bool:
    types = pa.types
    if types.is_dictionary(kind):
        return _is_binary(kind.value_type, pa)
    return bool(
        types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)
        or types.is_binary_view(kind)
    )  # fmt: skip
