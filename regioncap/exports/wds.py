"""WebDataset: tar files of samples, each an image and a JSON file: https://github.com/webdataset/webdataset."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator
from itertools import chain

from regioncap.exports.base import ExportOptions, ExportResult, Rows
from regioncap.exports.with_images import with_images
from regioncap.output.reading import Captioned
from regioncap.records import Row, dumps
from regioncap.storage.filesystem import Place

SAMPLES_PER_TAR = 10_000
BYTES_PER_TAR = 1_000_000_000
"""At these limits WebDataset's own writer starts a new tar file, too."""

Sample = tuple[Captioned, bytes, str, bytes]
"""A row, its image, the ending of the image's name, and the JSON beside it."""


def write_wds(rows: Rows, out: Place, setting: ExportOptions) -> ExportResult:
    """Write tar files `{name}-000000.tar`, … to the folder `out`. A sample's key is its row's number: `000000017.jpg`
    is the unchanged image, `000000017.json` the regions and the row. Rows whose image cannot be read are left out and
    counted. Surplus files of an earlier, longer export are removed."""
    done = ExportResult()
    stem = out.name.removesuffix(".wds") or "regions"
    samples = with_images(rows(), setting, done, _sample)
    first = next(samples, None)
    while first is not None:
        place = out.child(f"{stem}-{len(done.files):06d}.tar")
        with place.writer() as file:
            first = _fill(file, chain([first], samples), done)
        done.files.append(place.url)
    known = {url.rpartition("/")[2] for url in done.files}
    for name in out.names():
        if re.fullmatch(re.escape(stem) + r"-\d{6}\.tar", name) and name not in known:
            out.child(name).remove()
    return done


def _fill(file: object, samples: Iterator[Sample], done: ExportResult) -> Sample | None:
    """Write samples to one tar file until it is full. Returns the first sample that did not fit."""
    count = size = 0
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:  # type: ignore[call-overload]
        for sample in samples:
            row, image, ending, about = sample
            if count and (count >= SAMPLES_PER_TAR or size + len(image) > BYTES_PER_TAR):
                return sample
            count, size = count + 1, size + len(image)
            key = f"{row.number:09d}"
            for name, data in ((f"{key}.{ending}", image), (f"{key}.json", about)):
                member = tarfile.TarInfo(name)  # no time, no owner: the same rows give the same file
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
            tar.members.clear()  # else tarfile keeps every member in memory
            done.count(row)
    return None


def _sample(row: Captioned, image: bytes, ending: str) -> Sample:
    return row, image, ending, dumps(_metadata(row))


def _metadata(row: Captioned) -> Row:
    return {
        "image": row.image,
        "width": row.width,
        "height": row.height,
        "bbox": row.bbox,
        "captions": row.captions,
        "flags": row.flags,
        "fields": row.fields,
        "row": row.row,
    }
