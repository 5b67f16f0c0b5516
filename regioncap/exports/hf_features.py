"""The columns of a Hugging Face data set, in the three forms in which one describes them: Arrow, JSON and YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from regioncap.exports.columns import Kind
from regioncap.records import Row, dumps

DType = Literal["bool", "int32", "int64", "float64", "string"]

DTYPES: dict[Kind, DType] = {
    "none": "string", "bool": "bool", "int": "int64", "float": "float64", "text": "string",
}  # fmt: skip
"""How a column of a kind of JSON values is stored; one without any value as text."""


@dataclass(frozen=True)
class ImageOf:
    """An image: its file's bytes and name."""


@dataclass(frozen=True)
class Many:
    """A list in every row; of `length` values if given."""

    item: Feature
    length: int | None = None


Feature = DType | ImageOf | Many
Features = Mapping[str, Feature]
"""By column."""


def arrow_schema(features: Features, pa: Any) -> Any:
    """The schema, with the features in the metadata, where `datasets` looks for them."""
    described = dumps({"info": {"features": {name: _as_json(one) for name, one in features.items()}}})
    return pa.schema(
        [(name, _as_arrow(one, pa)) for name, one in features.items()], metadata={b"huggingface": described}
    )


def _as_arrow(feature: Feature, pa: Any) -> Any:
    match feature:
        case ImageOf():
            return pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        case Many(item, length):
            return pa.list_(_as_arrow(item, pa), -1 if length is None else length)
    return pa.type_for_alias(feature)


# `Sequence` and `sequence` are what all versions of `datasets` read; those from 4 on write `List` and `list`.


def _as_json(feature: Feature) -> Row:
    match feature:
        case ImageOf():
            return {"_type": "Image"}
        case Many(item, length):
            return {"feature": _as_json(item), "length": -1 if length is None else length, "_type": "Sequence"}
    return {"dtype": feature, "_type": "Value"}


def as_yaml(features: Features) -> list[Row]:
    """The features as the header of a data set's card lists them."""
    return [{"name": name, **_yaml_of(one)} for name, one in features.items()]


def _yaml_of(feature: Feature) -> Row:
    match feature:
        case ImageOf():
            return {"dtype": "image"}
        case Many(item, length):
            inner = _yaml_of(item)
            within = inner["dtype"] if set(inner) == {"dtype"} else inner
            return {"sequence": within} if length is None else {"sequence": within, "length": length}
    return {"dtype": feature}
