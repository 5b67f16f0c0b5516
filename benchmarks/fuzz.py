"""Damaged image files, by a seed: each must be a picture or a reject, in time.

python benchmarks/fuzz.py [--files 5000] [--seed 0]

Real files of six formats and several modes are changed: bytes flipped, cut out, doubled, set to extremes, the end cut
off, two files spliced. Each goes the way that the steps take: header, frames, decoded for finding, regions, decoded for
the model. Exits with 1 when one raises anything but RowReject or takes longer than 2 seconds.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections import Counter
from collections.abc import Iterator

import cv2
import numpy as np
from PIL import Image

from regioncap.errors import RowReject
from regioncap.vision.extraction import FINDER_MAX_LONG_SIDE, FINDER_MIN_LONG_SIDE, edges, find_regions
from regioncap.vision.images import Picture

SLOWEST_SECONDS = 2.0
MAX_PIXELS = 4_000_000
EXTREMES = (b"\x00", b"\xff", b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00")


def originals() -> dict[str, bytes]:
    """Small, sound files by name."""
    rng = np.random.default_rng(0)
    noise = cv2.resize(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8), (160, 120), interpolation=cv2.INTER_CUBIC)
    photo = Image.fromarray(noise)
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = [photo, photo.rotate(90), photo.rotate(180)]
    made = {}
    for name, image, kind, options in (
        ("jpeg", photo, "JPEG", {"exif": exif}),
        ("jpeg progressive", photo, "JPEG", {"progressive": True}),
        ("jpeg cmyk", photo.convert("CMYK"), "JPEG", {}),
        ("jpeg grey", photo.convert("L"), "JPEG", {}),
        ("png", photo, "PNG", {"exif": exif}),
        ("png palette", photo.convert("P"), "PNG", {"transparency": 3}),
        ("png alpha", photo.convert("RGBA"), "PNG", {}),
        ("apng", photo, "PNG", {"save_all": True, "append_images": frames[1:]}),
        ("webp", photo, "WEBP", {"exif": exif}),
        ("webp lossless", photo.convert("RGBA"), "WEBP", {"lossless": True}),
        ("webp animated", photo, "WEBP", {"save_all": True, "append_images": frames[1:]}),
        ("gif", photo, "GIF", {}),
        ("gif animated", photo, "GIF", {"save_all": True, "append_images": frames[1:]}),
        ("tiff", photo, "TIFF", {"exif": exif}),
        ("tiff lzw", photo, "TIFF", {"compression": "tiff_lzw"}),
        ("tiff pages", photo, "TIFF", {"save_all": True, "append_images": frames[1:]}),
        ("bmp", photo, "BMP", {}),
        ("bmp palette", photo.convert("P"), "BMP", {}),
    ):
        out = io.BytesIO()
        image.save(out, kind, **options)
        made[name] = out.getvalue()
    deep = cv2.imencode(".png", noise.astype(np.uint16) * 257)[1].tobytes()
    return {**made, "png 16 bit": deep}


def mutated(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """`data` with one to three changes; headers are hit as often as all the rest."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        reach = min(len(changed), 96) if rng.random() < 0.5 else len(changed)
        at = int(rng.integers(0, max(reach, 1)))
        length = int(rng.integers(1, 64))
        match rng.integers(0, 7):
            case 0:
                changed[at : at + 1] = bytes([int(rng.integers(0, 256))])
            case 1:
                if at < len(changed):
                    changed[at] ^= 1 << int(rng.integers(0, 8))
            case 2:
                extreme = EXTREMES[rng.integers(0, len(EXTREMES))]
                changed[at : at + len(extreme)] = extreme
            case 3:
                del changed[at : at + length]
            case 4:
                changed[at:at] = changed[at : at + length]
            case 5:
                del changed[int(rng.integers(0, max(len(changed), 1))) :]
            case _:
                changed[at:] = other[at:]
    return bytes(changed)


def files(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of so many damaged files."""
    rng = np.random.default_rng(seed)
    sound = originals()
    names = list(sound)
    for number in range(count):
        name = names[number % len(names)]
        yield f"{name} #{number}", mutated(sound[name], sound[names[rng.integers(0, len(names))]], rng)


def outcome(data: bytes) -> str:
    """`picture`, or the code of the reject. Raises whatever else there is."""
    try:
        picture = Picture(data, max_image_pixels=MAX_PIXELS)
        picture.check()
        _ = picture.frames
        info = picture.info
        image = picture.pixels(long_side=FINDER_MAX_LONG_SIDE, min_side=FINDER_MIN_LONG_SIDE, keep_full_size=True)
        find_regions(image, edges, max_boxes=10, min_score=-3.0, full_size_wh=(info.width, info.height))
        shape = picture.pixels(max_pixels=1_003_520).shape
    except RowReject as reject:
        return reject.code
    if shape[2] != 3 or (abs(shape[1] / shape[0] - info.width / info.height) > 1 and min(shape[:2]) > 8):
        raise AssertionError(f"a picture of {shape} from a header that says {info}")
    return "picture"


def run(count: int, seed: int) -> tuple[Counter[str], float, list[str]]:
    """(outcomes, the slowest file's CPU seconds, what went wrong) of so many files."""
    outcomes: Counter[str] = Counter()
    slowest, wrong = 0.0, []
    for name, data in files(count, seed):
        begun = time.process_time()
        try:
            outcomes[outcome(data)] += 1
        except Exception as error:
            wrong.append(f"{name}: {type(error).__name__}: {error}")
        spent = time.process_time() - begun
        slowest = max(slowest, spent)
        if spent > SLOWEST_SECONDS:
            wrong.append(f"{name}: took {spent:.1f} s")
    return outcomes, slowest, wrong


def main() -> None:
    """Run, and say how it went."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    outcomes, slowest, wrong = run(args.files, args.seed)
    print(f"{args.files} files, seed {args.seed}: {dict(outcomes)}; the slowest took {slowest:.2f} s of CPU")
    print("\n".join(wrong) or "nothing else")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
