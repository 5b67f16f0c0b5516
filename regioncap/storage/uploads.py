"""Uploads to S3 in several parts that a killed run never finished: no listing of files shows them, and they cost."""

from __future__ import annotations

import datetime as dt
from email.utils import parsedate_to_datetime
from typing import Any

from regioncap.storage.filesystem import Place

MIN_AGE = dt.timedelta(days=1)


def abort_old_uploads(folder: Place, stem: str = "") -> int:
    """End the uploads that were begun over a day ago, below a folder, to names that begin with `stem`.

    Returns how many there were, 0 where there is no S3. Raises StorageError, also where they may not be listed.
    """
    return folder.call_s3(lambda fs, bucket, key: _abort(fs, bucket, f"{key}/{stem}".lstrip("/"))) or 0


def _abort(fs: Any, bucket: str, prefix: str) -> int:
    listed = fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=prefix)
    old = [upload for upload in listed.get("Uploads", []) if is_old(upload["Initiated"], listed)]
    for upload in old:
        fs.call_s3("abort_multipart_upload", Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    return len(old)


def is_old(begun: dt.datetime, response: dict[str, Any]) -> bool:
    """Whether an upload was begun over a day ago, by the clock of the store that sent the response."""
    now = parsedate_to_datetime(response["ResponseMetadata"]["HTTPHeaders"]["date"])
    return now - begun > MIN_AGE
