"""Errors of every filesystem as ours."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from regioncap.errors import RegionCapError, StorageError
from regioncap.masking import outside_text
from regioncap.storage.urls import redact_url


@contextlib.contextmanager
def translated(address: str, doing: str) -> Iterator[None]:
    """Raises StorageError for what the block raises; FileNotFoundError as it is, unless the block writes."""
    url = redact_url(address)
    try:
        yield
    except RegionCapError:
        raise
    except FileNotFoundError as error:
        if doing != "write":  # when writing, it is the bucket that is missing, not the file
            raise
        raise StorageError(url, doing, reason_of(error)) from error
    except ImportError as error:
        raise StorageError(url, doing, f"a package is not installed: {error}") from None
    except PermissionError as error:
        # Without the s3:ListBucket permission, S3 answers 403 for a missing key, too.
        hint = " (the s3:ListBucket permission is needed, too)" if address.startswith(("s3://", "s3a://")) else ""
        raise StorageError(url, doing, f"{reason_of(error)}{hint}") from error
    except Exception as error:
        raise StorageError(url, doing, reason_of(error)) from error


def reason_of(error: BaseException) -> str:
    """The message of a foreign error, as one line, without secrets."""
    text = str(getattr(error, "strerror", None) or error).strip() or type(error).__name__
    return outside_text(text[:4000].splitlines()[0])
