"""WebDataset: tar files of samples, each an image and a JSON file: https://github.com/webdataset/webdataset."""

from __future__ import annotations

import io
import re
import tarfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain

from regioncap.exports.base import ExportOptions, ExportResult, Rows
from regioncap.output.reading import Captioned
from regioncap.records import Row, dumps
from regioncap.storage.filesystem import Place
from regioncap.vision.images import read_info

SAMPLES_PER_TAR = 10_000
BYTES_PER_TAR = 1_000_000_000
"""At these limits WebDataset's own writer starts a new tar file, too."""

READ_AHEAD = 16
NO_LIMIT = 1 << 62
ENDINGS = {"JPEG": "jpg", "JPEG2000": "jp2", "TIFF": "tif"}

Sample = tuple[Captioned, bytes, str, bytes]
"""A row, its image, the ending of the image's name, and the JSON beside it."""


def write_wds(rows: Rows, out: Place, setting: ExportOptions) -> ExportResult:
    """Write tar files `{name}-000000.tar`, … to the folder `out`. A sample's key is its row's number: `000000017.jpg`
    is the unchanged image, `000000017.json` the regions and the row. Rows whose image cannot be read are left out and
    counted. Surplus files of an earlier, longer export are removed."""
    done = ExportResult()
    stem = out.name.removesuffix(".wds") or "regions"
    samples = _samples(rows(), setting, done)
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


def _samples(rows: Iterator[Captioned], setting: ExportOptions, done: ExportResult) -> Iterator[Sample]:
    """Rows with their images, in order; some images are read ahead."""

    def read(row: Captioned) -> Sample:
        data = setting.read_image(row.ref)
        kind = read_info(data, max_image_pixels=NO_LIMIT).format
        return row, data, ENDINGS.get(kind, kind.lower()), dumps(_metadata(row))

    ahead: deque[tuple[Captioned, Future[Sample]]] = deque()
    with ThreadPoolExecutor(READ_AHEAD, thread_name_prefix="export") as pool:
        for row in chain(rows, [None]):
            if row is not None:
                ahead.append((row, pool.submit(read, row)))
            while ahead and (row is None or len(ahead) >= READ_AHEAD):
                first, reading = ahead.popleft()
                found = done.made(first, reading.result)
                if found is not None:
                    yield found
