"""Why an image cannot be read, in a row's terms: foreign errors of all filesystems become RowReject, here alone.

`image_missing`: it is not there, and no later run will find it. `image_unavailable`: what may work next time, or once a
package, a credential or a setting is there; the message says which.
"""

from __future__ import annotations

import binascii
import errno
import lzma
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from urllib.parse import unquote

from regioncap.errors import RejectCode, RowReject
from regioncap.masking import mask
from regioncap.printable import printable
from regioncap.records import QUOTED_CHARS, cut_text
from regioncap.storage.allowed_images import ImageRefused
from regioncap.storage.archives import ArchiveTooLarge
from regioncap.storage.collecting import NotReadable
from regioncap.storage.storage_errors import reason_of
from regioncap.storage.tar_headers import TarDamaged
from regioncap.storage.time_limit import OutOfTime
from regioncap.storage.urls import behind_chain, is_url, redact_url

NAME_NOT_FOUND_ERRNOS = frozenset({errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP})

GONE = (404, 410)
"""HTTP statuses of what is not there, and will not be."""

REFUSED = (401, 402, 403, 407)
"""HTTP statuses that ask for credentials, or say that these are not enough."""

REDIRECTS = range(300, 400)

DAMAGED_ARCHIVE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, TarDamaged)

CREDENTIALS = "give credentials by the environment or storage_block"

QUOTED_NAME = 120
QUOTED_REASON = QUOTED_CHARS - QUOTED_NAME
"""Characters of an address in a message, and of what was said about it, which may quote it again."""


def shown_image(image: str) -> str:
    """An image's path or URL in a message: short, without secrets, and without the bytes of a `data:` URI."""
    if image[:5].lower() == "data:" and "," in image:
        image = image.partition(",")[0] + ",…"
    shown = mask(redact_url(image[:4000])) if is_url(image) else image[:4000]
    return cut_text(printable(shown), QUOTED_NAME)


def reject_of(image: str, error: Exception) -> RowReject:
    """The reject of a row whose image could not be read. `image`: as the row names it, not where it was looked for:
    messages are kept, and roots may move."""
    shown, error = shown_image(image), _telling(error)
    if isinstance(error, NotReadable):
        return RowReject(error.code, f"{shown} {error.words}")
    if isinstance(error, ImageRefused):
        allow, why = cut_text(printable(error.allow), QUOTED_NAME), cut_text(printable(error.why), QUOTED_CHARS)
        return RowReject(
            "image_refused",
            f"{shown} is refused: {why}; if it may be read, add {allow!r} to allowed_images",
        )
    status = status_of(error)
    if status is not None:
        return RowReject(*_by_status(shown, status, error))
    if image[:5].lower() == "data:":
        return RowReject("image_unreadable", f"{shown} cannot be decoded: {_reason(image, error)}")
    for kinds, code, words in _KINDS:
        if isinstance(error, kinds):
            return RowReject(code, f"{shown} {words.format(reason=_reason(image, error))}")
    return RowReject(*_by_name(shown, image, error))


_KINDS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], RejectCode, str], ...] = (
    ((FileNotFoundError, NotADirectoryError, KeyError), "image_missing", "is not there; see image_root"),
    (IsADirectoryError, "image_unreadable", "is a folder; expected an image file"),
    (ImportError, "image_unavailable", "needs a package that is missing: {reason}"),
    ((TimeoutError, OutOfTime), "image_unavailable", "cannot be read: no complete answer in time; see image_timeout"),
    (ArchiveTooLarge, "image_unreadable", "lies in an archive whose directory is too large to be read"),
    (DAMAGED_ARCHIVE, "image_unavailable", "cannot be read: the archive is damaged ({reason}); replace it"),
    (binascii.Error, "image_unreadable", "cannot be decoded: {reason}"),
    # What a filesystem raises that was made without what it needs.
    ((TypeError, AttributeError), "image_unavailable",
     "cannot be opened by its URL alone ({reason}); give what its protocol needs by storage_block"),
)  # fmt: skip
"""(types, code, what is said), the first that fits."""


def _by_status(shown: str, status: int, error: Exception) -> tuple[RejectCode, str]:
    """(code, message) of an answer of HTTP."""
    said = cut_text(printable(str(getattr(error, "message", "") or "").split("\n")[0]), 40)
    answer = f"the server answered {status}{' ' + said if said else ''}"
    if status in GONE:
        return "image_missing", f"{shown} is not there: {answer}"
    if status in REFUSED:
        return "image_unavailable", f"{shown} cannot be read: {answer}; a signed URL may be over, else {CREDENTIALS}"
    if status in REDIRECTS:
        return "image_unavailable", f"{shown} cannot be read: its redirects lead nowhere"
    return "image_unavailable", f"{shown} cannot be read: {answer}"


def _by_name(shown: str, image: str, error: Exception) -> tuple[RejectCode, str]:
    """(code, message) of errors whose types are not ours to import, and of all others."""
    name, reason = type(error).__name__, _reason(image, error)
    if "Credential" in name or "Token" in name or (isinstance(error, PermissionError) and is_url(image)):
        public = " (a public bucket needs none: FSSPEC_S3_ANON=true)" if "s3" in shown.partition("://")[0] else ""
        return "image_unavailable", f"{shown} cannot be read: {reason}; {CREDENTIALS}{public}"
    if "Payload" in name or "Disconnected" in name:
        return "image_unavailable", f"{shown} cannot be read: the server's answer was cut off or damaged"
    if "Redirect" in name:
        return "image_unavailable", f"{shown} cannot be read: its redirects lead nowhere"
    # What reads an archive over a network raises ValueErrors of a moment, too.
    if "ParamValidation" in name or (isinstance(error, ValueError) and not behind_chain(image)):
        # An unknown scheme, a zero byte, a bucket with brackets: no such place can be.
        return "image_missing", f"{shown} cannot be a place: {reason}"
    if isinstance(error, OSError):
        code: RejectCode = "image_missing" if error.errno in NAME_NOT_FOUND_ERRNOS else "image_unavailable"
        return code, f"{shown} cannot be read: {reason}"
    return "image_unavailable", f"{shown} cannot be read: {name}: {reason}"


def _reason(image: str, error: Exception) -> str:
    """What an error says, without the image once more."""
    return cut_text(reason_of(error).replace(image, "…"), QUOTED_REASON)


def near_names(image: str) -> Iterator[str]:
    """Names that may be meant where there is no file `image`: as other systems write it."""
    folder, slash, name = image.rpartition("/")
    stem, dot, ending = name.rpartition(".")
    yield image.strip()
    yield image.replace("\\", "/")
    yield unicodedata.normalize("NFC", image)
    yield unicodedata.normalize("NFD", image)
    yield unquote(image)
    for other in (ending.lower(), ending.upper()):
        yield f"{folder}{slash}{stem}{dot}{other}"
    yield f"{folder}{slash}{name.lower()}"


def status_of(error: BaseException) -> int | None:
    """The HTTP status that an error is about; None if it is about none."""
    for value in (getattr(error, "status", None), getattr(getattr(error, "response", None), "status_code", None)):
        if isinstance(value, int) and value >= REDIRECTS.start:
            return value
    return None


def _telling(error: Exception) -> Exception:
    """The error that says most. Filesystems that look for a file before they read it say that it is not there when the
    server refused them, or was not reached: then that error is the one."""
    if not isinstance(error, FileNotFoundError):
        return error
    return next((one for one in _behind(error) if _is_of_the_moment(one)), error)


def _behind(error: BaseException) -> Iterator[Exception]:
    for _ in range(8):
        earlier = error.__cause__ or error.__context__
        if not isinstance(earlier, Exception):
            return
        yield earlier
        error = earlier


def _is_of_the_moment(error: Exception) -> bool:
    status = status_of(error)
    if status is not None:
        return status not in GONE
    return isinstance(error, ConnectionError | TimeoutError | ImageRefused) or "Redirect" in type(error).__name__
