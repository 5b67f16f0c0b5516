"""S3 past most of botocore: the same bytes and errors, signed as the store wants it, and s3fs where anything is odd."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from aiobotocore.httpsession import AIOHTTPSession
from s3fs import S3FileSystem

from regioncap.errors import StorageError
from regioncap.storage.direct_s3 import MAX_FAILURES, DirectS3FileSystem
from regioncap.storage.filesystem import DEFAULT_FILESYSTEMS, Filesystems, Place
from regioncap.storage.s3_pages import list_page

KEYS = ["a.jpg", "a b+c.jpg", "ä/ö.jpg", "&lt;x>&amp;'\".jpg", "50%25.jpg", "a//b", "a/../b", "~x=y;z", "日本"]

SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", port=0)
server.start()
print("at", server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
"""


class Sent:
    """Requests by the way they went: `direct`, or by `s3fs`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.direct: list[str] = []
        self.s3fs: list[str] = []
        send, call = DirectS3FileSystem._send, S3FileSystem._call_s3

        async def sent(fs: Any, way: Any, request: Any) -> Any:
            response = await send(fs, way, request)
            self.direct.append(request.method)
            return response

        async def called(fs: Any, method: str, *args: Any, **more: Any) -> Any:
            self.s3fs.append(method)
            return await call(fs, method, *args, **more)

        monkeypatch.setattr(DirectS3FileSystem, "_send", sent)
        monkeypatch.setattr(S3FileSystem, "_call_s3", called)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    """What is sent from now on."""
    return Sent(monkeypatch)


def learn(bucket: str, files: Filesystems = DEFAULT_FILESYSTEMS) -> Any:
    """The filesystem of a bucket that was read from once."""
    place = files.place(f"{bucket}/first")
    place.write(b"first")
    assert place.read() == b"first"
    return place._fs


@pytest.mark.parametrize("key", KEYS)
def test_bytes_go_there_and_back_under_any_name(bucket: str, sent: Sent, key: str) -> None:
    learn(bucket)
    sent.s3fs.clear()
    place, data = Place(f"{bucket}/{key}"), os.urandom(70_000)
    place.write(data)
    assert place.read() == data
    assert place.read_range(10, 20) == data[10:20]
    assert (sent.direct, sent.s3fs) == (["PUT", "GET", "GET"], [])
    assert S3FileSystem(use_listings_cache=False).cat_file(f"{bucket}/{key}") == data
    place.write(b"")
    assert place.read() == b""


def test_a_key_that_is_not_there_is_missing_after_one_request(bucket: str, sent: Sent) -> None:
    learn(bucket)
    sent.s3fs.clear()
    for _ in range(MAX_FAILURES + 1):
        with pytest.raises(FileNotFoundError):
            Place(f"{bucket}/none").read()
    assert sent.s3fs == []
    with pytest.raises(StorageError, match="bucket"):
        Place("s3://no-such-bucket-here/a").write(b"x")


def test_a_bucket_is_no_file(bucket: str, sent: Sent) -> None:
    learn(bucket)
    sent.direct.clear()
    for place in (Place(bucket), Place(f"{bucket}/")):
        with pytest.raises(StorageError):
            place.read()
        with pytest.raises(StorageError):
            place.write(b"x")
    assert sent.direct == []
    assert bucket.removeprefix("s3://") in DEFAULT_FILESYSTEMS.open("s3://")[0].ls("", detail=False)


def test_another_aiobotocore_than_this_is_written_for_is_used_by_s3fs_alone(
    bucket: str, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "regioncap.storage.direct_s3", None)
    fs = learn(bucket, Filesystems())
    assert type(fs) is S3FileSystem
    assert sent.direct == []


SETTINGS: dict[str, dict[str, Any]] = {
    "encryption": {"s3_additional_kwargs": {"ServerSideEncryption": "AES256"}},
    "payer": {"requester_pays": True},
    "versions": {"version_aware": True},
}


@pytest.mark.parametrize("settings", SETTINGS)
def test_what_settings_add_to_requests_is_left_to_s3fs(bucket: str, sent: Sent, settings: str) -> None:
    files = Filesystems({"s3": SETTINGS[settings]})
    learn(bucket, files)
    learn(bucket, files)
    assert sent.direct == []
    if settings == "encryption":
        head = S3FileSystem().call_s3("head_object", Bucket=bucket.removeprefix("s3://"), Key="first")
        assert head["ServerSideEncryption"] == "AES256"


def test_a_bucket_for_everyone_is_read_without_a_signature(bucket: str, sent: Sent) -> None:
    learn(bucket)
    name = bucket.removeprefix("s3://")
    S3FileSystem().call_s3("put_object_acl", Bucket=name, Key="first", ACL="public-read")
    place = Filesystems({"s3": {"anon": True}}).place(f"{bucket}/first")
    sent.direct.clear()
    assert [place.read(), place.read()] == [b"first", b"first"]
    assert sent.direct == ["GET"]
    assert place._fs._ways[name].scope is None


def test_what_fails_is_sent_again_by_s3fs_and_no_more_when_it_always_does(
    bucket: str, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs = learn(bucket)
    attempts = []

    async def failing(*_: Any) -> Any:
        attempts.append(1)
        raise OSError("no keys")

    with monkeypatch.context() as patch:
        patch.setattr(fs, "_credentials", failing)
        for number in range(MAX_FAILURES + 2):
            place = Place(f"{bucket}/{number}")
            place.write(b"data")
        assert len(attempts) == MAX_FAILURES
        assert list_page(fs, bucket.removeprefix("s3://"), "first").objects
        assert len(attempts) == MAX_FAILURES + 1
        assert place.read() == b"data"
        assert len(attempts) == MAX_FAILURES + 2
    assert (place.read(), place.read()) == (b"data", b"data")
    assert sent.direct[-2:] == ["GET", "GET"]


@pytest.mark.parametrize(("status", "tried"), [(503, MAX_FAILURES + 2), (400, MAX_FAILURES)])
def test_a_store_that_is_overloaded_is_asked_again_directly_when_it_has_time(
    bucket: str, monkeypatch: pytest.MonkeyPatch, status: int, tried: int
) -> None:
    fs = learn(bucket)
    attempts: list[str] = []
    real = AIOHTTPSession.send

    async def send(session: Any, request: Any) -> Any:
        response = await real(session, request)
        if len(attempts) == len(done):  # the direct request; that of s3fs follows
            attempts.append(request.url)
            response.status_code = status
        return response

    done: list[bytes] = []
    with monkeypatch.context() as patch:
        patch.setattr("regioncap.storage.direct_s3.PAUSE_SECONDS", 0.0)
        patch.setattr(AIOHTTPSession, "send", send)
        for _ in range(MAX_FAILURES + 2):
            if not fs._ways[bucket.removeprefix("s3://")].serves("get_object"):
                break
            done.append(fs.cat_file(f"{bucket}/first"))
    assert (len(attempts), set(done)) == (tried, {b"first"})


# --- a store that checks signatures


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """fsspec's options for a store that checks signatures, with the keys of a user who may do everything."""
    import botocore.session

    process = subprocess.Popen(
        [sys.executable, "-c", SERVER], env={**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": "3"},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        port = next(line.split()[1] for line in process.stdout if line.startswith("at "))
        url = f"http://127.0.0.1:{port}"
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        iam = botocore.session.get_session().create_client(
            "iam", endpoint_url=url, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
        )
        iam.create_user(UserName="me")
        keys = iam.create_access_key(UserName="me")["AccessKey"]
        rule = {"Effect": "Allow", "Action": "*", "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [rule]})
        iam.put_user_policy(UserName="me", PolicyName="all", PolicyDocument=policy)
        iam.close()
        yield {
            "key": keys["AccessKeyId"], "secret": keys["SecretAccessKey"], "endpoint_url": url,
            "client_kwargs": {"region_name": "us-east-1"},
        }  # fmt: skip
        process.terminate()


def test_requests_are_signed_as_the_store_wants_it(checked: dict[str, Any], sent: Sent) -> None:
    files = Filesystems({"s3": checked})
    fs, _ = files.open("s3://bucket")
    fs.call_s3("create_bucket", Bucket="bucket")
    learn("s3://bucket", files)
    sent.s3fs.clear()
    for key in KEYS:
        place = files.place(f"s3://bucket/in/{key}")
        place.write(key.encode())
        assert place.read() == key.encode()
    listed = list_page(fs, "bucket", "in/", after="in/& ä+").objects
    assert {item.key for item in listed} == {f"in/{key}" for key in KEYS if key > "& ä+"}
    assert (sent.s3fs, len(sent.direct)) == ([], 2 * len(KEYS) + 1)
    with pytest.raises(StorageError, match="signature"):
        Filesystems({"s3": {**checked, "secret": "wrong"}}).place("s3://bucket/first").read()
