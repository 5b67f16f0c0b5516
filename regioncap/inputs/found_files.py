"""Chooses what of an input is read: files of rows or images; and counts what a folder or glob holds besides, by kind.

Data files are the input, and images are what their rows name. Where images lie beside data files, only those count that
hold rows with images: `metadata.jsonl`, a table, COCO. Others (`info.json`, the classes of a data set) are left out and
the images are the input, one row each.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import PurePosixPath

from regioncap.config.model import RegionCapConfig
from regioncap.errors import InputDamaged, UsageError
from regioncap.inputs.coco import looks_like_coco
from regioncap.inputs.formats import READERS, file_kind, reader_of
from regioncap.inputs.named_files import find_named, fixed_part, has_braces, is_file
from regioncap.inputs.streams import ReadProgress
from regioncap.records import cut_text, loads_given
from regioncap.row_keys import MISSING, value_at
from regioncap.storage.filesystem import Filesystems, Place
from regioncap.storage.finding import FoundFiles
from regioncap.storage.urls import without_query
from regioncap.vision.headers import EXTENSIONS

KNOWN = (
    "JSON Lines (.jsonl, .ndjson), JSON (.json), CSV (.csv, .tsv), each also .gz, .bz2, .xz or .zst; "
    "Parquet (.parquet); WebDataset (.tar, .tar.gz); images"
)

IMAGE_KEYS = ("image", "file_name", "filename", "image_path", "image_url", "images", "img", "path", "url")
"""Keys by which data sets name the images of their rows; `file_name` is that of an HF imagefolder's metadata."""

MAX_SNIFFED = 20
"""Data files beside images whose first rows are read; a further one counts if one of its kind did."""

MAX_KINDS = 20
_LONGEST_EXTENSION = 12

BESIDE_ROWS, NO_EXTENSION, OTHER = "images beside rows", "without extension", "other"


@dataclass(frozen=True)
class FoundInput:
    """What an input consists of: `data`, or else `images` as paths below `root`.

    `left_out`: files by kind that are not read: an extension (`.txt`), or words (`hidden`, `without extension`).
    `images beside rows` are read where a row names them.
    """

    root: Place
    data: list[Place] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)

    def left_out_in_words(self) -> str:
        """What is not read; "" for nothing."""
        what = f"{len(self.data):,} data files" if self.data else f"{len(self.images):,} images"
        return f"input: {what} are read; left out: {in_words(self.left_out)}" if self.left_out else ""


def in_words(left_out: dict[str, int]) -> str:
    """Counts by kind, as text.

    >>> in_words({".txt": 1200, "hidden": 1})
    '1,200 .txt, 1 hidden'
    """
    return cut_text(", ".join(f"{count:,} {kind}" for kind, count in left_out.items()), 300)


def find_files(config: RegionCapConfig, filesystems: Filesystems) -> FoundInput:
    """What the input consists of. Raises UsageError if there is nothing to read, StorageError."""
    place = filesystems.place(config.input)
    if is_file(place):
        return _of_one_file(place)
    if has_braces(place):
        return _chosen(find_named(place), fixed_part(place), place, config)
    if not place.is_glob() and not place.exists():
        raise UsageError(f"input: {place.url} does not exist; expected a file, a folder or a glob")
    root = place.fixed_part if place.is_glob() else _as_folder(place)
    return _chosen(place.find(), root, place, config)


def _chosen(found: FoundFiles, root: Place, place: Place, config: RegionCapConfig) -> FoundInput:
    images = [name for name in found.names if is_image(name)]
    data = [name for name in found.names if file_kind(_file_name(name, place)) in READERS]
    if images:
        data = _of_rows(data, root, config)
    left_out = _left_out(found.names, set(data), found.skipped)
    if not data and not images:
        raise _nothing(place, found.names, left_out)
    return FoundInput(root, [root.child(name) for name in data], [] if data else images, left_out)


def find_root(place: Place) -> Place:
    """The folder that an input's relative image paths start from: a file's folder, the folder itself, or the fixed part
    of a glob. Raises StorageError."""
    if is_file(place):
        return place.parent
    if has_braces(place):
        return fixed_part(place)
    return place.fixed_part if place.is_glob() else _as_folder(place)


def _file_name(name: str, place: Place) -> str:
    return without_query(f"http://{name}") if place.address.startswith(("http://", "https://")) else name


def is_image(name: str) -> bool:
    """Whether a file of this name is read as an image; what is in it shows later."""
    return PurePosixPath(name.lower()).suffix in EXTENSIONS


def _of_one_file(place: Place) -> FoundInput:
    name = place.file_name
    if file_kind(name) in READERS:
        return FoundInput(place.parent, [place])
    if not is_image(name):
        raise _nothing(place, [name], {})
    return FoundInput(place.parent, images=[name])


def _as_folder(place: Place) -> Place:
    address = place.address
    return place if address.endswith("://") else place.files.place(address.rstrip("/") or "/")


def _of_rows(data: list[str], root: Place, config: RegionCapConfig) -> list[str]:
    """Those of the data files beside images that hold rows with images."""
    chosen = [name for name in data[:MAX_SNIFFED] if _holds_rows(root.child(name), config)]
    kinds = {file_kind(name) for name in chosen}
    return chosen + [name for name in data[MAX_SNIFFED:] if file_kind(name) in kinds]


def _holds_rows(file: Place, config: RegionCapConfig) -> bool:
    """Whether a data file is one of rows with images: by a key of its first row that names an image. One that cannot
    be read counts, since that must be reported; in a `.json` of a single object, only the configured key does."""
    kind = file_kind(file.file_name)
    if kind in (".parquet", ".tar") or config.rows == "per_box":
        return True
    try:
        if kind == ".json" and looks_like_coco(file):
            return True
        with closing(reader_of(file.file_name, config.csv_encoding)(file, ReadProgress())) as lines:
            rows = [text for _, text in islice(lines, 2)]
    except UsageError:
        return kind not in (".json", ".jsonl", ".ndjson")  # one JSON object over many lines, for example
    except InputDamaged:
        return True
    known = IMAGE_KEYS if len(rows) > 1 or kind != ".json" else ()
    with suppress(ValueError, IndexError):
        row = loads_given(rows[0])
        return isinstance(row, dict) and any(value_at(row, key) is not MISSING for key in (config.image_key, *known))
    return False


def _left_out(names: list[str], data: set[str], counts: Counter[str]) -> dict[str, int]:
    """Files by kind that are not read, most first; the rarest kinds together."""
    counts = counts.copy()
    for name in names:
        if is_image(name):
            counts[BESIDE_ROWS] += bool(data)
        elif name not in data:
            counts[_kind(name)] += 1
    common = dict((+counts).most_common(MAX_KINDS))
    others = counts.total() - sum(common.values())
    return common | ({OTHER: common.get(OTHER, 0) + others} if others else {})


def _kind(name: str) -> str:
    suffix = PurePosixPath(name.lower()).suffix
    if not suffix:
        return NO_EXTENSION
    return suffix if len(suffix) <= _LONGEST_EXTENSION and suffix[1:].isalnum() else OTHER


def _nothing(place: Place, names: list[str], left_out: dict[str, int]) -> UsageError:
    expected = f"expected {KNOWN}"
    if names:
        what = f"{names[0]} is" if len(names) == 1 else f"{names[0]} and {len(names) - 1:,} more files are"
        found = f" (found: {in_words(left_out)})" if len(names) > 1 else ""
        return UsageError(f"input: {place.url}: {cut_text(what)} not in a supported format{found}; {expected}")
    what = "no file matches" if place.is_glob() else "there is no file in"
    found = f" (found: {in_words(left_out)})" if left_out else ""
    return UsageError(f"input: {what} {place.url}{found}; {expected} (names that begin with . or _ are skipped)")
