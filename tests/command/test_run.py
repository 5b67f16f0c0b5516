"""`regioncap run`, `plan` and `try` as their users meet them: exit codes, messages, flags."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest

from regioncap.captioners import pixels
from regioncap.captioners.fake_server import PERSONAS, Behaviour, RunningServer
from regioncap.captioners.supervisor import descendants
from regioncap.records import Row
from regioncap.run.context import RunContext
from tests.support.commands import COMMAND, ROOT, call, environment, regioncap
from tests.support.photos import write_photo
from tests.support.rows import BOX, read_rows, write_rows
from tests.support.waiting import until

SOMEWHERE = ["--endpoint", "http://127.0.0.1:9/v1", "--model", "m"]


def without_progress(errors: str) -> list[str]:
    """The lines but for those that come every half minute: a busy machine takes as long to start."""
    return [line for line in errors.splitlines() if not line.startswith("progress: ")]


def test_run_writes_what_it_says_and_is_quiet_otherwise(project: Path, prefect_server: None) -> None:
    done = regioncap(project, "run", "photos.jsonl", "--captioner", "pixels", "--max-boxes", "3")
    assert done.returncode == 0, done.stderr
    assert len(read_rows(project / "photos.regioncap.jsonl")) == 6
    assert "rows captioned" in done.stdout
    assert "./photos.regioncap.jsonl" in done.stdout
    *first, last = without_progress(done.stderr)
    assert first == [
        "regioncap: photos.jsonl -> ./photos.regioncap.jsonl",
        "captioner: pixels (no model: pictures stay here); starting Prefect …",
    ]
    assert last.startswith("finished: 6 rows, 0 rejected, in ")


def test_a_run_without_a_server_starts_its_own(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    # A fresh PREFECT_HOME, no API URL: what a new user has. The ephemeral server must start, and stay unheard.
    command = [*COMMAND, "run", "photos.jsonl", "--captioner", "pixels"]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    home = {"PREFECT_HOME": str(tmp_path_factory.mktemp("home")), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=project, env=plain | home, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert len(without_progress(done.stderr)) == 3


def test_flags_win_over_the_config_file(here: Path, prefect_server: None, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ('input = "photos.jsonl"', 'captioner = "pixels"', "max_boxes = 7", 'output = "a.jsonl"')
    (here / "set.toml").write_text("\n".join(lines))
    done = call(capsys, "run", "--config", "set.toml", "--output", "b.jsonl")
    assert done.code == 0, done.err
    assert not (here / "a.jsonl").exists()
    assert len(read_rows(here / "b.jsonl")[0]["meta_info"]["normalized_bbox"]) == 7


def test_endpoints_get_what_flags_add_and_no_file_has_the_secret(
    here: Path, prefect_server: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_KEY", "quiet-river-7")
    azure = Behaviour(latency=0.0, persona=PERSONAS["azure"], key="quiet-river-7")
    with RunningServer(azure) as server:
        bodies = server.record()
        flags = ["--request-headers", "api-key: env:AZURE_KEY", "--request-headers", "X-Title: a, b"]
        flags += ["--request-query", "api-version=2024-10-21", "--request-body", '{"reasoning_effort": "low"}']
        address = f"{server.url}/chat/completions"  # as Azure's portal gives it
        done = call(capsys, "run", "photos.jsonl", "--endpoint", address, "--model", "fake-vlm", *flags)
    assert done.code == 0, done.err
    assert {body["reasoning_effort"] for body in bodies} == {"low"}
    config = json.loads((here / "photos.regioncap.summary.json").read_text())["config"]
    assert config["request_headers"] == ["api-key: env:AZURE_KEY", "X-Title: a, b"]
    written = b"".join(path.read_bytes() for path in here.rglob("*") if path.is_file())
    assert b"quiet-river-7" not in written + done.out.encode() + done.err.encode()
    assert b"AZURE_KEY" in written


def test_too_many_rejects_exit_1_and_say_where_the_rows_are(
    here: Path, prefect_server: None, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows(here / "photos.jsonl", [{"image": "photo1.png", "bbox": [BOX]}, *[{"image": "gone.png"}] * 3])
    done = call(capsys, "run", "photos.jsonl", "--captioner", "pixels", "--output", "out.jsonl")
    assert done.code == 1
    assert "3 of 4 rows were rejected" in done.err
    assert "out.incomplete.jsonl" in done.err
    assert not (here / "out.jsonl").exists()


def test_boxes_of_another_form_stop_the_command(
    here: Path, prefect_server: None, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows(here / "photos.jsonl", [{"image": f"photo{n}.png", "bbox": [[0.1, 0.1, 0.5, 0.5]]} for n in range(6)])
    done = call(capsys, "run", "photos.jsonl", "--captioner", "pixels")
    assert done.code == 2
    assert "these look like 0-1" in done.err
    assert "Traceback" not in done.err


def test_a_row_that_meets_a_bug_makes_exit_1(
    here: Path, prefect_server: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    describe = pixels.describe

    def with_a_bug(picture: pixels.Measured, box: Sequence[float], *size: int) -> str:
        if box[0] == 13:
            raise ZeroDivisionError("a bug")
        return describe(picture, box, *size)

    monkeypatch.setattr(pixels, "describe", with_a_bug)
    rows = [{"image": "photo1.png", "bbox": [BOX]}, {"image": "photo1.png", "bbox": [[13, 16, 30, 30]]}]
    write_rows(here / "photos.jsonl", rows)
    assert call(capsys, "run", "photos.jsonl", "--captioner", "pixels", "--output", "out.jsonl").code == 1
    assert read_rows(here / "out.rejects.jsonl")[0]["code"] == "internal_error"
    assert len(read_rows(here / "out.jsonl")) == 1


def test_a_home_that_prefect_cannot_write_to_is_reported_at_once(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(here / "photos.jsonl" / "home"))
    done = call(capsys, "run", "photos.jsonl", "--captioner", "pixels", "--output", "out.jsonl")
    assert done.code == 2
    assert f"Prefect cannot write to {here}/photos.jsonl/home (Not a directory)" in done.err
    assert "PREFECT_API_URL" in done.err


def test_what_is_reported_before_anything_is_sent_is_reported_once(
    here: Path, prefect_server: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The head start sends before the flow is there, whose log has the same lines."""
    errors = ""

    def begin(context: RunContext) -> list[Future[Row]]:
        nonlocal errors
        errors = capsys.readouterr().err
        return []

    monkeypatch.setattr("regioncap.tasks.head_start.begin_first_shards", begin)
    with RunningServer(Behaviour(latency=0.0)) as server:
        flags = ["run", "photos.jsonl", "--endpoint", server.url, "--model", "fake-vlm", "--output", "out.jsonl"]
        done = call(capsys, *flags)
        assert "no answers yet: captions for all regions will be requested" in errors
        again = call(capsys, *flags, "--prompt", "What is in {regions}?")
    assert (done.code, again.code) == (0, 0)
    assert "settings differ from the output's last run: prompt" in errors
    assert "captions for" in errors
    for text in ("settings differ", "captions for", "no answers yet"):
        assert text not in done.err + again.err


def test_a_prefect_server_that_is_not_there_is_one_clear_line(project: Path) -> None:
    done = regioncap(
        project, "run", "photos.jsonl", "--captioner", "pixels", "--output", "out.jsonl",
        PREFECT_API_URL="http://127.0.0.1:9/api",
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("regioncap: Prefect: Failed to reach API at http://127.0.0.1:9/api")
    assert "Traceback" not in done.stderr


def test_ctrl_c_keeps_the_output_and_shows_how_to_resume(tmp_path: Path, prefect_server: None) -> None:
    write_photo(tmp_path / "p.png", 1)
    write_rows(tmp_path / "photos.jsonl", [{"image": "p.png", "n": n} for n in range(50_000)])
    (tmp_path / "out.jsonl").write_text("the earlier output\n")
    args = ["photos.jsonl", "--captioner", "pixels", "--output", "out.jsonl", "--cache-path", "cache"]
    command = [*COMMAND, "run", *args]
    running = subprocess.Popen(command, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True)
    step6 = tmp_path / "cache" / "regioncap_step6"
    until(lambda: running.poll() is not None or list(step6.glob("*.json")), every=0.02)  # the first shard is done
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=120)
    assert running.returncode == 1
    assert "regioncap run photos.jsonl --captioner pixels --output out.jsonl --cache-path cache" in errors
    assert "Traceback" not in errors
    assert (tmp_path / "out.jsonl").read_text() == "the earlier output\n"
    assert read_rows(tmp_path / "out.runs.jsonl")[0]["outcome"] == "stopped"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_prefects_own_server_gets_too_ends_the_run_at_once(
    number: signal.Signals, tmp_path: Path
) -> None:
    """A terminal sends Ctrl-C to all processes of the group; `timeout` and systemd do so with SIGTERM."""
    write_photo(tmp_path / "p.png", 1)
    write_rows(tmp_path / "photos.jsonl", [{"image": "p.png", "n": n} for n in range(50_000)])
    own = {**environment(), "PREFECT_HOME": str(tmp_path / "home")}
    del own["PREFECT_API_URL"]
    args = ["photos.jsonl", "--captioner", "pixels", "--output", "out.jsonl", "--cache-path", "cache"]
    command = [*COMMAND, "run", *args]
    running = subprocess.Popen(
        command, cwd=tmp_path, env=own, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        step6 = tmp_path / "cache" / "regioncap_step6"
        until(lambda: running.poll() is not None or list(step6.glob("*.json")), every=0.02)
        os.killpg(running.pid, number)
        _, errors = running.communicate(timeout=60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)  # its server, should it be left
        running.wait()
    assert running.returncode == 1
    assert "Resume with:\n  regioncap run photos.jsonl" in errors
    if number == signal.SIGTERM:
        assert "regioncap: terminated" in errors
    # Prefect's server, which is signalled at the same time, may show a traceback of its end: none of it is ours.
    assert f"{ROOT}/regioncap/" not in errors


IMPATIENT = """
import sys
from regioncap.command.app import main
from regioncap.command.prefect_env import prepare_prefect
prepare_prefect(quiet=True)
import regioncap.flows.prefect_watch as watch
watch.CHECK_SECONDS, watch.GONE_SECONDS = 0.2, 1.0
main(sys.argv[1:])
"""
"""The command, with less patience with Prefect."""


def test_a_prefect_server_that_is_gone_for_good_stops_the_run_in_clear_words(tmp_path: Path) -> None:
    write_photo(tmp_path / "p.png", 1)
    write_rows(tmp_path / "photos.jsonl", [{"image": "p.png", "n": n} for n in range(50_000)])
    own = {**environment(), "PREFECT_HOME": str(tmp_path / "home")}
    del own["PREFECT_API_URL"]
    args = ["photos.jsonl", "--captioner", "pixels", "--output", "out.jsonl", "--cache-path", "cache"]
    command = [sys.executable, "-c", IMPATIENT, "run", *args]
    with subprocess.Popen(command, cwd=tmp_path, env=own, stderr=subprocess.PIPE, text=True) as running:
        step6 = tmp_path / "cache" / "regioncap_step6"
        until(lambda: running.poll() is not None or list(step6.glob("*.json")), every=0.02)
        (server,) = [pid for pid in descendants(running.pid) if b"prefect.server" in cmdline(pid)]
        os.kill(server, signal.SIGKILL)
        _, errors = running.communicate(timeout=200)
    assert running.returncode == 1
    error, kept, resume = errors.splitlines()[-3:]
    assert error.startswith("regioncap: Prefect's server does not answer any more, so the run stops.")
    assert kept.endswith("kept and will be reused. Resume with:")
    assert resume.startswith("  regioncap run photos.jsonl")
    assert "Traceback" not in errors


def cmdline(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


# --- with a model server


def test_three_commands_and_a_fake_server(here: Path, prefect_server: None, capsys: pytest.CaptureFixture[str]) -> None:
    command = [*COMMAND, "fake-vlm", "--port", "0", "--latency", "0.01", "--fault", "500=0.1"]
    server = subprocess.Popen(command, cwd=here, env=environment(), stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        url = server.stderr.readline().split()[2].rstrip(";")
        flags = ["photos.jsonl", "--endpoint", url, "--model", "fake-vlm", "--max-pixels", "40000", "--max-boxes", "3"]

        planned = call(capsys, "plan", *flags, "--usd-per-m-in", "100", "--usd-per-m-out", "400")
        assert planned.code == 0, planned.err
        counts = dict(line.rsplit(maxsplit=1) for line in planned.out.splitlines()[:12])
        assert counts["rows"] == "6"
        assert (counts["  with boxes"], counts["regions given"]) == ("3", "3")
        assert (counts["  without boxes"], counts["regions to find, at most"]) == ("3", "9")
        assert (counts["requests needed"], counts["  already done"]) == ("6", "0")
        assert float(counts["US dollars, about"]) > 0
        online, in_batches = (float(counts[name]) for name in ("US dollars, about", "  with delivery=batch"))
        assert in_batches == pytest.approx(online / 2, abs=0.01)

        tried = call(capsys, "try", *flags, "--row", "2", "--prompt", "{num_regions} for {id}")
        assert tried.code == 0, tried.err
        assert '"text": "1 for 001' in tried.out
        assert "<region1>    A cat with 1 bells in photo" in tried.out
        assert (here / ".regioncap" / "marks").is_dir()
        assert not (here / "photos.regioncap.jsonl").exists()

        done = call(capsys, "run", *flags)
        assert done.code == 0, done.err
        assert "fake-vlm at 127.0.0.1" in done.err
        assert "(marked pictures are sent there)" in done.err
        assert len(read_rows(here / "photos.regioncap.jsonl")) == 6
        after = call(capsys, "plan", *flags)
        counts = dict(line.rsplit(maxsplit=1) for line in after.out.splitlines()[:10])
        assert (counts["  already done"], counts["requests needed"]) == ("6", "0")
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=60)


def test_try_needs_no_model(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tried = call(capsys, "try", "photos.jsonl", "--captioner", "pixels", "--row", "2")
    assert tried.code == 0
    assert "regions      1 given, xywh: [[12, 16, 36, 40]]" in tried.out
    assert "<region1>    A" in tried.out
    write_rows(here / "photos.jsonl", [{"image": "gone.png"}])
    tried = call(capsys, "try", "photos.jsonl", "--captioner", "pixels")
    assert tried.code == 1
    assert "rejected     image_missing" in tried.out


def test_a_dead_endpoint_is_one_clear_line(project: Path, prefect_server: None) -> None:
    # In a process of its own: in the tests', Prefect's log was set up before the command could make it quiet.
    done = regioncap(project, "run", "photos.jsonl", *SOMEWHERE, "--output", "out.jsonl")
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if "does not answer" in line] == [
        "regioncap: http://127.0.0.1:9/v1 does not answer (cannot connect: Connection refused). Start the server, or "
        "correct --endpoint, and rerun; it resumes."
    ]
    assert "Traceback" not in done.stderr
    assert "regioncap run photos.jsonl --endpoint http://127.0.0.1:9/v1" in done.stderr
