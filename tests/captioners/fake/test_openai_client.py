"""OpenAI's own client makes its calls against the fake server, and reads the same as from the real service."""

from __future__ import annotations

import tempfile
import threading
import urllib.request
from pathlib import Path

import openai
import orjson
import pytest

from tests.support.batches import ENDPOINT, Connect, body_of, create, line_of, reached, results_in, upload
from tests.support.model_servers import Serve


def test_a_batch_from_upload_to_deletion(serve: Serve, connect: Connect) -> None:
    server = serve()
    client = connect(server)
    file = upload(client, map(line_of, range(3)), "night.jsonl")
    assert (file.filename, file.purpose, file.status) == ("night.jsonl", "batch", "processed")
    assert client.files.retrieve(file.id) == file
    batch = client.batches.create(
        input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h", metadata={"run": "nightly"}
    )
    assert (batch.status, batch.input_file_id, batch.metadata) == ("validating", file.id, {"run": "nightly"})
    batch = reached(client, batch)
    assert batch.status == "completed"
    assert batch.request_counts is not None
    assert batch.request_counts.to_dict() == {"total": 3, "completed": 3, "failed": 0}
    assert (batch.model, batch.error_file_id, batch.errors) == ("fake-vlm", None, None)
    results = results_in(client, batch.output_file_id)
    assert [result["custom_id"] for result in results] == ["row-0", "row-1", "row-2"]
    for id in (file.id, batch.output_file_id):
        assert id is not None
        assert client.files.delete(id).deleted
        with pytest.raises(openai.NotFoundError, match="No such File object"):
            client.files.content(id)
    assert client.files.list().data == []


def test_a_batch_answers_what_the_same_requests_get_online(serve: Serve, connect: Connect) -> None:
    client = connect(serve())
    batch = reached(client, create(client, map(line_of, range(4))))
    offline = [result["response"]["body"]["choices"] for result in results_in(client, batch.output_file_id)]
    online = [client.post("/chat/completions", body=body_of(seed), cast_to=dict) for seed in range(4)]
    assert offline == [answer["choices"] for answer in online]


def test_a_body_paid_for_online_and_in_a_batch_is_paid_twice(serve: Serve, connect: Connect) -> None:
    server = serve()
    client = connect(server)
    reached(client, create(client, map(line_of, range(2))))
    assert server.stats["paid_twice"] == 0
    # As RegionCap sends it.
    request = urllib.request.Request(f"{server.url}/chat/completions", orjson.dumps(body_of(1)))
    with urllib.request.urlopen(request, timeout=60) as response:
        assert response.status == 200
    assert server.stats["paid_twice"] == 1


def test_an_input_file_may_be_deleted_once_its_batch_is_created(serve: Serve, connect: Connect) -> None:
    server, go = serve(), threading.Event()
    server.change_batches(until={"validating": go})
    client = connect(server)
    batch = create(client, [line_of(1)])
    client.files.delete(batch.input_file_id)
    go.set()
    assert reached(client, batch).status == "completed"


def test_the_lists_are_paged_and_begin_with_the_newest(serve: Serve, connect: Connect) -> None:
    client = connect(serve())
    made = [create(client, [line_of(seed)]) for seed in range(5)]
    first = client.batches.list(limit=2)
    assert first.has_more
    assert [batch.id for batch in first.data] == [made[4].id, made[3].id]
    assert [batch.id for batch in client.batches.list(limit=2)] == [batch.id for batch in reversed(made)]
    for batch in made:
        reached(client, batch)
    inputs = [batch.input_file_id for batch in made]
    assert [file.id for file in client.files.list(purpose="batch", limit=2, order="asc")] == inputs
    assert len(list(client.files.list(limit=3))) == 10


def test_a_batch_is_cancelled_once(serve: Serve, connect: Connect) -> None:
    server, go = serve(), threading.Event()
    server.change_batches(until={"in_progress": go, "cancelling": go}, done=0.25)
    client = connect(server)
    batch = reached(client, create(client, map(line_of, range(4))), "in_progress")
    assert client.batches.cancel(batch.id).status == "cancelling"
    assert client.batches.cancel(batch.id).status == "cancelling"
    go.set()
    batch = reached(client, batch)
    assert batch.status == "cancelled"
    assert [result["custom_id"] for result in results_in(client, batch.output_file_id)] == ["row-0"]
    codes = [result["error"]["code"] for result in results_in(client, batch.error_file_id)]
    assert codes == ["batch_cancelled"] * 3
    with pytest.raises(openai.ConflictError, match="Cannot cancel a batch with status 'cancelled'"):
        client.batches.cancel(batch.id)
    assert server.batches.cancelled == 1


def test_what_it_was_sent_is_deleted_when_it_ends(
    serve: Serve, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    server = serve()
    upload(connect(server), [line_of(1)])
    assert len(list(tmp_path.glob("fake-vlm-*/*"))) == 1
    server.stop()
    assert list(tmp_path.iterdir()) == []
