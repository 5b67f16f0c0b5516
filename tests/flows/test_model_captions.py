"""The whole flow with a model server: the promises hold whatever the server does."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from prefect.blocks.system import Secret
from prefect.settings import get_current_settings

from regioncap.captioners.fake_server import Behaviour, RunningServer, caption_of
from regioncap.config.model import RegionCapConfig
from regioncap.errors import BudgetReached, CaptionerError, UsageError
from regioncap.tasks import shard
from regioncap.tasks.draw_row import draw_picture
from tests.support.commands import ROOT
from tests.support.model_servers import TRIAL
from tests.support.photos import write_photo
from tests.support.rows import BOX, read_rows, write_rows
from tests.support.runs import Run

Serve = Callable[..., RunningServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """`serve(**behaviour)`: a running fake server; all are ended with the test."""
    running: list[RunningServer] = []

    def start(*, port: int = 0, **behaviour: Any) -> RunningServer:
        running.append(RunningServer(Behaviour(**{"latency": 0.01, "slots": 8, **behaviour}), port=port))
        return running[-1].__enter__()

    yield start
    for server in running:
        server.stop()


def photos(folder: Path, count: int, **more: Any) -> Path:
    """`photos.jsonl` of `count` rows with one to three boxes each, and their photos."""
    rows = []
    for number in range(count):
        write_photo(folder / f"photo{number}.png", number)
        boxes = [BOX, [60, 10, 20, 20], [5, 5, 30, 12]][: 1 + number % 3]
        rows.append({"image": f"photo{number}.png", "id": number, "bbox": boxes, **more})
    return write_rows(folder / "photos.jsonl", rows)


def model(*servers: RunningServer, **settings: Any) -> dict[str, Any]:
    """The settings that have these servers caption."""
    urls = [server.url for server in servers]
    return {"captioner": "auto", "model": "fake-vlm", "endpoint": urls, "max_pixels": 40_000, **settings}


def check_output(output: Path) -> int:
    """Every region of every row has the caption of its own picture and number; gives the count of rows."""
    rows = read_rows(output)
    for row in rows:
        picture = Path(row["meta_info"]["image_with_bbox"]).stem[:32]
        texts = [f"<region{n}> {caption_of((picture,), n)}" for n in range(1, len(row["meta_info"]["bbox"]) + 1)]
        assert row["mdvp_record"] == texts
    return len(rows)


def answers(folder: Path) -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in (folder / "cache" / "captions").rglob("*.json")}


def test_rows_boxes_and_captions_fit_each_other_whatever_the_server_does(
    tmp_path: Path, run: Run, serve: Serve
) -> None:
    photos(tmp_path, 60)
    server = serve(seed=5)
    faults = {"500": 0.05, "429": 0.02, "hang": 0.01, "garbage": 0.02, "cut": 0.02, "missing": 0.05, "reordered": 0.1}
    server.change(faults=faults, structure=(), retry_after=0.05)
    settings = model(server, request_timeout=3.0, max_repairs=5, max_in_flight=8)
    summary = run(tmp_path, **settings)
    assert (summary.rows_in, summary.rows_out, summary.rejects) == (60, 60, 0)
    assert check_output(tmp_path / "out.jsonl") == 60
    assert summary.regions == summary.captions_new == 120
    assert summary.requests == server.stats["requests"]
    assert summary.requests_retried == server.stats["sent_again"] > 0
    assert server.stats["sent_again_after_answer"] == 0
    assert server.stats["peak_in_flight"] <= 8
    assert summary.prompt_tokens > 0
    assert summary.finish_reasons["stop"] >= 60
    assert "Error" not in (tmp_path / "out.jsonl").read_text()
    asked = server.stats["requests"]
    again = run(tmp_path, **settings)
    assert (again.captions_asked, again.requests, server.stats["requests"]) == (0, 0, asked)


def test_answers_survive_other_shards_order_names_and_duplicates(tmp_path: Path, run: Run, serve: Serve) -> None:
    path = photos(tmp_path, 12)
    server = serve()
    run(tmp_path, **model(server))
    rows = read_rows(path)
    write_rows(path, [*reversed(rows), rows[3], rows[3]])
    (tmp_path / "cache").rename(tmp_path / "moved")
    summary = run(tmp_path, **model(server), shard_size=5, cache_path=str(tmp_path / "moved"))
    assert (summary.rows_out, summary.captions_asked, summary.requests) == (14, 0, 0)
    assert check_output(tmp_path / "out.jsonl") == 14


def test_ten_rows_inserted_in_the_middle_ask_for_ten(tmp_path: Path, run: Run, serve: Serve) -> None:
    path = photos(tmp_path, 80)
    server = serve(latency=0.0, slots=32)
    run(tmp_path, **model(server), shard_size=8)
    drawn = {place.name for place in (tmp_path / "cache" / "regioncap_step5").glob("*-*.jsonl")}
    new = []
    for number in range(10):
        write_photo(tmp_path / f"new{number}.png", 1000 + number)
        new.append({"image": f"new{number}.png", "bbox": [BOX]})
    rows = read_rows(path)
    write_rows(path, [*rows[:40], *new, *rows[40:]])
    summary = run(tmp_path, **model(server), shard_size=8)
    assert (summary.rows_out, summary.captions_asked) == (90, 10)
    again = {place.name for place in (tmp_path / "cache" / "regioncap_step5").glob("*-*.jsonl")} - drawn
    assert len(again) <= 3 + 10 // 8 < len(drawn)
    write_photo(tmp_path / "new3.png", 2000)
    assert run(tmp_path, **model(server), shard_size=8).captions_asked == 1


def test_rows_alike_are_asked_once_and_each_gets_the_caption(tmp_path: Path, run: Run, serve: Serve) -> None:
    path = photos(tmp_path, 4)
    write_rows(path, read_rows(path) * 5)
    server = serve()
    summary = run(tmp_path, **model(server))
    assert (summary.rows_out, server.stats["requests"]) == (20, 4 + TRIAL)
    assert check_output(tmp_path / "out.jsonl") == 20


def test_rows_are_asked_for_while_the_rest_of_their_shard_is_drawn(
    tmp_path: Path, run: Run, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos(tmp_path, 12)
    server = serve()
    answered_meanwhile = threading.Event()
    real = draw_picture

    def waiting_for_the_others(row: dict[str, Any], *args: Any) -> Any:
        while row["image"] == "photo11.png" and not answered_meanwhile.wait(0.01):
            assert time.monotonic() < deadline, "no row was asked for before all were drawn"
            if server.stats["answered"] >= 11:
                answered_meanwhile.set()
        return real(row, *args)

    monkeypatch.setattr(shard, "draw_picture", waiting_for_the_others)
    deadline = time.monotonic() + 60
    summary = run(tmp_path, **model(server))
    assert answered_meanwhile.is_set()
    assert (summary.rows_out, summary.captions_asked, summary.requests) == (12, 24, 12 + TRIAL)
    assert check_output(tmp_path / "out.jsonl") == 12


def test_a_row_that_fails_is_asked_for_once_a_run(tmp_path: Path, run: Run, serve: Serve) -> None:
    photos(tmp_path, 4)
    server = serve()
    run(tmp_path, **model(server), limit=1)
    server.change(faults={"refusal": 1.0})
    before = server.stats["requests"]
    with_rejects = run(tmp_path, **model(server), max_repairs=1, max_reject_share=1.0, structure="none")
    assert (with_rejects.rows_out, with_rejects.rejects_by_code) == (1, {"captions_incomplete": 3})
    assert server.stats["requests"] - before == 1 + 3 * 2  # the largest, and each row with its repair
    assert {answer["failed"]["strikes"] for answer in answers(tmp_path).values() if "failed" in answer} == {1}


def test_a_changed_prompt_asks_and_the_old_one_is_still_there(tmp_path: Path, run: Run, serve: Serve) -> None:
    photos(tmp_path, 6)
    server = serve()
    run(tmp_path, **model(server))
    changed = run(tmp_path, **model(server), prompt="Say what you see in {num_regions} regions.")
    assert changed.captions_asked == 12
    assert {row["meta_info"]["prompt"] for row in read_rows(tmp_path / "out.jsonl")} == {
        f"Say what you see in {n} regions." for n in (1, 2, 3)
    }
    asked = server.stats["requests"]
    back = run(tmp_path, **model(server))
    assert (back.captions_asked, server.stats["requests"]) == (0, asked)


def test_a_run_logs_how_much_it_will_request(
    tmp_path: Path, run: Run, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    path = photos(tmp_path, 6)
    server = serve()
    caplog.set_level("INFO", "regioncap")
    run(tmp_path, **model(server))
    assert "no answers yet: captions for all regions will be requested" in caplog.text
    caplog.clear()
    run(tmp_path, **model(server))
    assert "all 6 rows are done: nothing to request" in caplog.text
    write_photo(tmp_path / "new.png", 77)
    write_rows(path, [*read_rows(path), {"image": "new.png", "bbox": [BOX]}, {"image": "new.png"}, "broken"])
    run(tmp_path, **model(server))
    # The shard is another one now: its rows are unknown until they are drawn. Cached answers are not requested again.
    assert "1 of 9 rows are done; captions for at most 16 regions will be requested" in caplog.text
    caplog.clear()
    (tmp_path / "out.jsonl").unlink()
    (answer,) = [path for path in (tmp_path / "cache" / "captions").rglob("*.json") if b'"3"' in path.read_bytes()][:1]
    answer.unlink()
    for manifest in (tmp_path / "cache" / "regioncap_step6").glob("*.json"):
        manifest.unlink()
    run(tmp_path, **model(server))
    assert "8 of 9 rows are done; captions for 3 regions will be requested" in caplog.text


def test_changed_settings_are_reported_or_refused(
    tmp_path: Path, run: Run, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    photos(tmp_path, 2)
    server, other = serve(), serve()
    run(tmp_path, **model(server), on_config_change="refuse")  # there is no earlier run
    asked = server.stats["requests"]
    changed = {**model(server), "prompt": "Say {num_regions} things.", "temperature": 0.5}
    with pytest.raises(UsageError, match=r"prompt 'Describe .*… -> 'Say .*'; temperature 0\.0 -> 0\.5"):
        run(tmp_path, **changed, on_config_change="refuse")
    assert server.stats["requests"] == asked
    caplog.clear()
    # The same words from elsewhere, more slowly, into other columns: no change.
    run(tmp_path, **model(other), on_config_change="refuse", max_in_flight=1, output_key="said", max_tokens=500)
    assert not [record for record in caplog.records if "settings differ" in record.message]
    run(tmp_path, **changed)
    with pytest.raises(UsageError, match=r"temperature 0\.5 -> 0\.0"):  # though the fake says the same at any
        run(tmp_path, **model(server), on_config_change="refuse")
    assert "settings differ from the output's last run: prompt 'Describe" in caplog.text
    # The settings of a run that stopped count, though it wrote nothing.
    with pytest.raises(BudgetReached):
        run(tmp_path, **model(server), seed=3, max_requests=1)
    with pytest.raises(UsageError, match="seed 3 -> None"):
        run(tmp_path, **changed, on_config_change="refuse")


UNASKED = {
    "max_tokens": 1000,
    "max_repairs": 4,
    "request_timeout": 60.0,
    "max_in_flight": 3,
    "structure": "json_schema",
    "jpeg_quality": 70,
    "max_requests": 10_000,
}


def test_what_does_not_decide_the_words_requests_nothing(tmp_path: Path, run: Run, serve: Serve) -> None:
    photos(tmp_path, 3)
    server = serve()
    run(tmp_path, **model(server))
    for name, value in UNASKED.items():
        assert run(tmp_path, **model(server, **{name: value})).captions_asked == 0, name


ASKED = {"temperature": 0.5, "top_p": 0.9, "seed": 7, "system_prompt": "You see well.", "dim": 0.8, "model_id": "m"}


def test_what_decides_the_words_requests_captions_again(tmp_path: Path, run: Run, serve: Serve) -> None:
    photos(tmp_path, 2)
    server = serve()
    run(tmp_path, **model(server))
    for name, value in ASKED.items():
        assert run(tmp_path, **model(server, **{name: value})).captions_asked == 3, name


def test_an_incomplete_row_is_a_reject_that_keeps_what_came(tmp_path: Path, run: Run, serve: Serve) -> None:
    photos(tmp_path, 6)
    server = serve(structure=(), faults={"missing": 1.0})
    settings = model(server, max_repairs=0, max_reject_share=1.0)
    summary = run(tmp_path, **settings)
    # Of one region none is captioned; of two or three, all but one.
    assert (summary.rows_out, summary.rejects_by_code) == (0, {"captions_incomplete": 6})
    rejects = read_rows(tmp_path / "out.incomplete.rejects.jsonl")
    assert [len(reject.get("captions", {})) for reject in rejects] == [0, 1, 2, 0, 1, 2]
    assert all(reject["step"] == "caption" for reject in rejects)
    server.change(faults={})
    second = run(tmp_path, **settings)
    assert (second.rows_out, second.captions_asked, second.captions_reused) == (6, 6, 6)
    assert check_output(tmp_path / "out.jsonl") == 6


def test_failed_rows_are_rejects_and_asked_again(tmp_path: Path, run: Run, serve: Serve) -> None:
    photos(tmp_path, 6)
    server = serve(structure=(), faults={"refusal": 1.0})
    settings = model(server, max_repairs=1, max_reject_share=1.0)
    summary = run(tmp_path, **settings)
    assert summary.rejects_by_code == {"captions_incomplete": 6}
    assert "the model refused" in read_rows(tmp_path / "out.incomplete.rejects.jsonl")[0]["message"]
    assert all(answer["captions"] == {} for answer in answers(tmp_path).values())
    server.change(faults={})
    assert run(tmp_path, **settings).rows_out == 6


def test_a_row_that_the_model_fails_in_three_runs_is_put_on_hold(tmp_path: Path, run: Run, serve: Serve) -> None:
    photos(tmp_path, 3)
    server = serve(structure=(), faults={"missing": 1.0})
    settings = model(server, max_repairs=0, max_reject_share=1.0)
    for _ in range(3):
        assert run(tmp_path, **settings).captions_asked > 0
    asked = server.stats["requests"]
    on_hold = run(tmp_path, **settings)
    assert (on_hold.captions_asked, server.stats["requests"]) == (0, asked)
    assert on_hold.step_seconds == {}  # done: not even looked up again
    # Shards that change meanwhile find it resting, too, with what came kept and the last reason.
    write_rows(tmp_path / "photos.jsonl", read_rows(tmp_path / "photos.jsonl")[::-1])
    assert run(tmp_path, **settings).captions_asked == 0
    reject = read_rows(tmp_path / "out.incomplete.rejects.jsonl")[0]
    assert reject["message"].startswith("line 1: asked in vain in 3 runs (no caption for <region")
    assert reject["captions"].keys() == {"1", "3"}
    # The flag wakes it for one run; other settings that may help do so, too.
    assert run(tmp_path, **settings, retry_rejects=True).captions_asked == 3
    server.change(faults={})
    assert run(tmp_path, **settings).captions_asked == 0
    assert run(tmp_path, **settings | {"max_repairs": 1}).rows_out == 3
    assert check_output(tmp_path / "out.jsonl") == 3
    again = run(tmp_path, **settings, retry_rejects=True)
    assert (again.captions_asked, again.step_seconds) == (0, {})


def test_a_dead_endpoint_stops_the_run_and_the_same_call_resumes(tmp_path: Path, run: Run, serve: Serve) -> None:
    photos(tmp_path, 3)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        settings = {"captioner": "openai", "model": "fake-vlm", "endpoint": f"http://127.0.0.1:{port}/v1"}
        with pytest.raises(CaptionerError, match="does not answer"):
            run(tmp_path, **settings, max_pixels=40_000)
        assert not (tmp_path / "out.jsonl").exists()
    serve(port=port)
    summary = run(tmp_path, **settings, max_pixels=40_000)
    assert summary.rows_out == 3
    assert summary.step_seconds.keys() == {"caption"}


def test_a_budget_stops_the_run_and_pays_nothing_twice(tmp_path: Path, run: Run, serve: Serve) -> None:
    photos(tmp_path, 20)
    server = serve(latency=0.02)
    with pytest.raises(BudgetReached, match="max_requests=12 is reached"):
        run(tmp_path, **model(server, max_requests=12, max_in_flight=4))
    assert len(answers(tmp_path)) == 11
    stopped = json.loads((tmp_path / "out.runs.jsonl").read_text().splitlines()[-1])
    kept = sum(len(answer["captions"]) for answer in answers(tmp_path).values())
    assert (stopped["outcome"], stopped["requests"], stopped["captions_new"]) == ("stopped", 12, kept)
    summary = run(tmp_path, **model(server))
    assert summary.rows_out == 20
    assert summary.usd is None
    assert server.stats["answered"] == 12 + 9  # the server was tried out in the first run
    assert server.stats["sent_again_after_answer"] == 0


def test_a_stopped_run_asks_nothing_more_however_many_shards_wait(tmp_path: Path, run: Run, serve: Serve) -> None:
    photos(tmp_path, 80)
    server = serve(latency=0.02)
    with pytest.raises(BudgetReached):
        run(tmp_path, **model(server, max_requests=20, max_in_flight=4, shard_size=8))
    assert server.stats["requests"] == 20
    summary = run(tmp_path, **model(server, shard_size=8))
    assert (summary.rows_out, summary.requests) == (80, 80 - 19)


def test_images_that_were_touched_ask_for_nothing(tmp_path: Path, run: Run, serve: Serve) -> None:
    """Regions are found again, and are the same: neither marks nor captions are wanted, kept apart or not."""
    photos(tmp_path, 6)
    rows = [{"image": row["image"]} for row in read_rows(tmp_path / "photos.jsonl")]
    write_rows(tmp_path / "photos.jsonl", rows)
    settings = model(serve(), max_boxes=3)
    run(tmp_path, **settings)
    shutil.rmtree(tmp_path / "cache" / "captions")
    for row in rows:
        os.utime(tmp_path / row["image"], (1, 1))
    again = run(tmp_path, **settings)
    assert set(again.step_seconds) == {"load", "route", "extract"}
    assert (again.captions_asked, again.requests) == (0, 0)


def test_the_price_is_in_the_summary(tmp_path: Path, run: Run, serve: Serve) -> None:
    photos(tmp_path, 3)
    summary = run(tmp_path, **model(serve(), usd_per_m_in=2.0, usd_per_m_out=8.0))
    assert summary.usd == pytest.approx((2 * summary.prompt_tokens + 8 * summary.completion_tokens) / 1e6, abs=1e-6)


def test_prompts_name_what_rows_and_regions_hold(tmp_path: Path, run: Run, serve: Serve) -> None:
    rows = [
        {"image": "photo1.png", "place": "a zoo", "label": ["cat", "nothing", "dog"], "bbox": [BOX, [0, 0, 0, 9], BOX]},
        {"image": "photo1.png", "place": "a park", "label": ["cat"], "bbox": [BOX, BOX]},
        {"image": "photo1.png", "label": ["cat"], "bbox": [BOX]},
    ]
    write_photo(tmp_path / "photo1.png", 1)
    write_rows(tmp_path / "photos.jsonl", rows)
    summary = run(
        tmp_path,
        **model(serve()),
        prompt="In {place}: {regions}. {{Really}} {num_regions}.",
        region_prompt="<region{n}> is a {label}",
        region_fields=["label"],
        max_reject_share=1.0,
    )
    assert summary.rejects_by_code == {"bad_row": 2}
    (row,) = read_rows(tmp_path / "out.jsonl")
    assert row["meta_info"]["prompt"] == "In a zoo: <region1> is a cat, <region2> is a dog. {Really} 2."
    messages = [reject["message"] for reject in read_rows(tmp_path / "out.rejects.jsonl")]
    assert messages == [
        "line 2: 'label': expected a list of 2, one per box, got 1 values",
        "line 3: the prompt uses {place}, but this row has no key 'place'",
    ]


def test_a_misspelt_key_is_reported_before_anything_runs(tmp_path: Path, run: Run) -> None:
    photos(tmp_path, 3, place="a zoo")
    with pytest.raises(UsageError, match="has the key 'palce'; did you mean 'place'"):
        run(tmp_path, captioner="openai", endpoint="http://127.0.0.1:9/v1", model="m", prompt="In {palce}")
    assert not (tmp_path / "cache").exists()


def test_a_photo_of_12_megapixels_fits_a_context_of_4096(tmp_path: Path, run: Run, serve: Serve) -> None:
    image = np.full((3000, 4000, 3), 120, np.uint8)
    cv2.circle(image, (2000, 1500), 600, (30, 60, 200), -1)
    cv2.imwrite(str(tmp_path / "large.jpg"), image)
    write_rows(tmp_path / "photos.jsonl", [{"image": "large.jpg", "bbox": [[1400, 900, 1200, 1200]] * 10}])
    server = serve(max_model_len=4096)
    config = model(server, max_boxes=10)
    del config["max_pixels"]
    assert run(tmp_path, **config).regions == 10


def test_keys_come_from_the_environment_or_a_block_and_are_nowhere_written(
    tmp_path: Path, run: Run, serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    photos(tmp_path, 2)
    server = serve(key="sk-0123456789-abcdef")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-9876543210")
    with pytest.raises(CaptionerError, match="refused the key") as refused:
        run(tmp_path, **model(server))
    monkeypatch.setenv("REGIONCAP_API_KEY", "sk-0123456789-abcdef")
    assert run(tmp_path, **model(server)).rows_out == 2
    Secret(value="sk-0123456789-abcdef").save("regioncap-test-key", overwrite=True)
    monkeypatch.delenv("REGIONCAP_API_KEY")
    assert run(tmp_path, **model(server), api_key_block="regioncap-test-key", temperature=0.1).rows_out == 2
    by_header = {"request_headers": ["Authorization: Bearer block:regioncap-test-key"]}
    assert run(tmp_path, **model(server), api_keys="block:regioncap-test-key", temperature=0.3).rows_out == 2
    assert run(tmp_path, **model(server), **by_header, temperature=0.4).rows_out == 2
    with pytest.raises(CaptionerError, match="no Prefect Secret block 'nobody'"):
        run(tmp_path, **model(server), api_key_block="nobody", temperature=0.2)
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for secret in ("sk-0123456789-abcdef", "sk-wrong-9876543210"):
        assert secret.encode() not in written
        assert secret not in str(refused.value) + repr(refused.value) + caplog.text


def test_an_endpoint_with_a_password_is_refused_without_showing_it() -> None:
    with pytest.raises(UsageError, match="without user, password") as refused:
        RegionCapConfig(input="a.jsonl", model="m", endpoint="https://me:secret@host/v1")
    assert "secret" not in str(refused.value)


def test_killed_in_the_middle_nothing_answered_is_asked_again(tmp_path: Path, run: Run, serve: Serve) -> None:
    photos(tmp_path, 60)
    server = serve(latency=0.1, slots=4)
    half = server.when_answered(32)
    settings = {**model(server, max_in_flight=4), "input": str(tmp_path / "photos.jsonl")}
    settings |= {"output": str(tmp_path / "out.jsonl"), "cache_path": str(tmp_path / "cache"), "max_boxes": 3}
    code = (
        "import json, sys; from regioncap.config.model import RegionCapConfig; "
        "from regioncap.flows.region_caption import region_caption; "
        "region_caption(RegionCapConfig(**json.loads(sys.argv[1])))"
    )
    # With the tests' Prefect server: one of its own would be left running.
    environment = {**os.environ, "PREFECT_API_URL": str(get_current_settings().api.url)}
    command = [sys.executable, "-c", code, json.dumps(settings)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        assert half.wait(120)
    finally:
        process.kill()
        process.wait()
    answered = server.stats["answered"]
    summary = run(tmp_path, **model(server, max_in_flight=4))
    assert (summary.rows_out, check_output(tmp_path / "out.jsonl")) == (60, 60)
    # What was in flight when the kill came is sent again, and the server tried out again; nothing else.
    assert server.stats["requests"] <= 60 + 4 + 4
    assert answered + summary.requests <= 60 + 4 + 4
