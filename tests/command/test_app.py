"""The `regioncap` command as its user meets it: exit codes, messages, flags, looking without a server."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from regioncap.command.app import main
from regioncap.config.model import RegionCapConfig
from tests.support.commands import COMMAND, ROOT, environment, regioncap
from tests.support.photos import write_photo
from tests.support.rows import BOX, read_rows, write_rows
from tests.support.waiting import until


def exit_code(*args: str) -> int:
    with pytest.raises(SystemExit) as error:
        main(args)
    assert isinstance(error.value.code, int)
    return error.value.code


# --- runs


def test_run_writes_what_it_says_and_is_quiet_otherwise(project: Path, prefect_server: None) -> None:
    done = regioncap(project, "run", "photos.jsonl", "--captioner", "pixels", "--max-boxes", "3")
    assert done.returncode == 0, done.stderr
    assert len(read_rows(project / "photos.regioncap.jsonl")) == 6
    assert "rows captioned" in done.stdout
    assert "./photos.regioncap.jsonl" in done.stdout
    assert done.stderr.splitlines() == [
        "regioncap: photos.jsonl -> ./photos.regioncap.jsonl",
        "captioner: pixels (no model: pictures stay here); starting Prefect …",
    ]


def test_run_without_a_server_of_the_users(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    # A fresh PREFECT_HOME, no API URL: what a new user has. The ephemeral server must start, and stay unheard.
    command = [*COMMAND, "run", "photos.jsonl", "--captioner", "pixels"]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    home = {"PREFECT_HOME": str(tmp_path_factory.mktemp("home")), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=project, env=plain | home, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert len(done.stderr.splitlines()) == 2


def test_flags_win_over_the_config_file(project: Path, prefect_server: None) -> None:
    lines = ('input = "photos.jsonl"', 'captioner = "pixels"', "max_boxes = 7", 'output = "a.jsonl"')
    (project / "set.toml").write_text("\n".join(lines))
    done = regioncap(project, "run", "--config", "set.toml", "--output", "b.jsonl")
    assert done.returncode == 0, done.stderr
    assert not (project / "a.jsonl").exists()
    assert len(read_rows(project / "b.jsonl")[0]["meta_info"]["normalized_bbox"]) == 7


def test_too_many_rejects_exit_1_and_say_where_the_rows_are(project: Path, prefect_server: None) -> None:
    write_rows(project / "photos.jsonl", [{"image": "photo1.png", "bbox": [BOX]}, *[{"image": "gone.png"}] * 3])
    done = regioncap(project, "run", "photos.jsonl", "--captioner", "pixels", "--output", "out.jsonl")
    assert done.returncode == 1
    assert "3 of 4 rows were rejected" in done.stderr
    assert "out.incomplete.jsonl" in done.stderr
    assert not (project / "out.jsonl").exists()


def test_a_row_that_meets_a_bug_makes_exit_1(project: Path, prefect_server: None) -> None:
    # A captioner with a bug: one of two rows becomes an internal_error, the others are written.
    broken = (
        "import regioncap.captioners.pixels as p; good = p.describe\n"
        "def bad(picture, box, w, h):\n"
        "    if box[0] == 13: raise ZeroDivisionError('a bug')\n"
        "    return good(picture, box, w, h)\n"
        "p.describe = bad\nfrom regioncap.command.app import main; main()"
    )
    rows = [{"image": "photo1.png", "bbox": [BOX]}, {"image": "photo1.png", "bbox": [[13, 16, 30, 30]]}]
    write_rows(project / "photos.jsonl", rows)
    command = [sys.executable, "-c", broken, "run", "photos.jsonl", "--captioner", "pixels", "--output", "out.jsonl"]
    done = subprocess.run(command, cwd=project, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert read_rows(project / "out.rejects.jsonl")[0]["code"] == "internal_error"
    assert len(read_rows(project / "out.jsonl")) == 1


def test_a_home_that_prefect_cannot_write_to_is_said_at_once(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(project / "photos.jsonl" / "home"))
    with pytest.raises(SystemExit) as ended:
        main(["run", "photos.jsonl", "--captioner", "pixels", "--output", "out.jsonl"])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert f"Prefect cannot write to {project}/photos.jsonl/home (Not a directory)" in told
    assert "PREFECT_API_URL" in told


def test_a_prefect_server_that_is_not_there_is_one_clear_line(project: Path) -> None:
    done = regioncap(
        project, "run", "photos.jsonl", "--captioner", "pixels", "--output", "out.jsonl",
        PREFECT_API_URL="http://127.0.0.1:9/api",
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("regioncap: Prefect: Failed to reach API at http://127.0.0.1:9/api")
    assert "Traceback" not in done.stderr


def test_ctrl_c_keeps_the_output_and_names_the_way_on(tmp_path: Path, prefect_server: None) -> None:
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


def test_ctrl_c_in_a_terminal_reaches_prefects_own_server_too_and_ends_the_run_at_once(tmp_path: Path) -> None:
    """A terminal sends it to all processes of the group."""
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
        os.killpg(running.pid, signal.SIGINT)
        _, errors = running.communicate(timeout=60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)  # its server, should it be left
        running.wait()
    assert running.returncode == 1
    assert "The same command resumes the run" in errors
    assert "Traceback" not in errors
    assert "ERROR" not in errors


# --- wrong usage

SOMEWHERE = ["--endpoint", "http://127.0.0.1:9/v1", "--model", "m"]


WRONG = {
    "no input": (["run"], "expected an input"),
    "input is missing": (["run", "gone.jsonl", "--captioner", "pixels"], "gone.jsonl does not exist"),
    "no captioner": (["run", "photos.jsonl"], "choose one: --model Qwen/Qwen2.5-VL-7B-Instruct"),
    "no vLLM here": (["run", "photos.jsonl", "--model", "x"], "vLLM is not installed in this environment"),
    "no model": (["run", "photos.jsonl", "--endpoint", "http://h/v1"], "model: expected the name of a vision-language"),
    "no URL": (["run", "photos.jsonl", "--model", "m", "--endpoint", "h:8000"], "expected a URL such as http://"),
    "key in the URL": (["run", "photos.jsonl", "--model", "m", "--endpoint", "http://u:p@h/v1"], "without user, passw"),
    "half a brace": (["run", "photos.jsonl", *SOMEWHERE, "--prompt", "{label"], "prompt: expected '}' before end"),
    "no such key": (
        ["run", "photos.jsonl", *SOMEWHERE, "--prompt", "{label}"],
        "has the key 'label'; their keys: image",
    ),
    "price without prices": (["run", "photos.jsonl", *SOMEWHERE, "--max-usd", "5"], "max_usd: expected the prices"),
    "endpoint for pixels": (["run", "photos.jsonl", *SOMEWHERE, "--captioner", "pixels"], "'pixels' uses none"),
    "unknown fault": (["fake-vlm", "--fault", "fire=0.1"], "--fault: expected NAME=SHARE"),
    "no such row": (["try", "photos.jsonl", "--captioner", "pixels", "--row", "99"], "--row: expected a line of the"),
    "unknown captioner": (["run", "photos.jsonl", "--captioner", "pixles"], "'pixles' is not one of"),
    "number too small": (["run", "photos.jsonl", "--captioner", "pixels", "--max-boxes", "0"], "max_boxes: expected"),
    "unknown flag": (["run", "photos.jsonl", "--max-box", "3"], "--max-boxes"),
    "no config file": (["run", "--config", "gone.toml"], "gone.toml: No such file"),
    "output is input": (["run", "photos.jsonl", "--captioner", "pixels", "--output", "photos.jsonl"], "outside of the"),
    "output is a folder": (
        ["run", "photos.jsonl", "--captioner", "pixels", "--output", ".."],
        ".. is a folder",
    ),
    "no URL for S3": (
        ["run", "photos.jsonl", "--captioner", "pixels", "--s3-endpoint-url", "h"],
        "s3_endpoint_url",
    ),
    "no cache": (["prune", "--cache-path", "gone"], "gone is not there; expected the cache of earlier runs"),
    "unknown command": (["frobnicate"], "No such command"),
    "step 9": (["steps", "out.jsonl", "9"], "0<=x<=6"),
    "nothing to explain": (["explain", "gone.jsonl"], "gone.jsonl: expected the output of a run"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_usage_exits_2_with_a_message(
    project: Path, case: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    args, message = WRONG[case]
    assert exit_code(*args) == 2
    assert message in capsys.readouterr().err
    assert {path.name for path in project.iterdir() if "photo" not in path.name} == set()


def test_every_config_field_has_its_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("run", "--help") == 0
    shown = capsys.readouterr().out
    flags = ["--" + name.replace("_", "-") for name in RegionCapConfig.model_fields if name != "input"]
    assert [flag for flag in flags if flag not in shown] == []


def test_bare_command_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--help") == 0
    assert "run" in capsys.readouterr().out


# --- looking


@pytest.fixture
def finished(project: Path, run: object, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose run is finished, with no Prefect server to be had any more."""
    assert callable(run)
    run(project)
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.chdir(project)
    return project


@pytest.mark.parametrize(("number", "key"), [(0, "image"), (1, "row"), (2, "type"), (3, "width"), (4, "bbox")])
def test_steps_prints_the_rows_of_a_step(
    finished: Path, capfdbinary: pytest.CaptureFixture[bytes], number: int, key: str
) -> None:
    assert exit_code("steps", str(finished / "out.jsonl"), str(number)) == 0
    rows = [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    assert len(rows) == 6
    assert all(key in row for row in rows)


def test_steps_of_an_input_with_its_options(finished: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options = ["--captioner", "pixels", "--max-boxes", "3", "--cache-path", "cache"]
    assert exit_code("steps", "photos.jsonl", "6", *options) == 0
    assert capfd.readouterr().out.count('"captions"') == 6


def test_steps_that_are_not_done_exit_1(finished: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert exit_code("steps", "out.jsonl", "4", "--max-boxes", "2") == 1
    assert "shard 00000: step 4 is not done yet" in capfd.readouterr().err


def test_explain_says_reused(finished: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert exit_code("explain", "out.jsonl") == 0
    shown = capfd.readouterr().out
    assert shown.count("reused\n") == 6
    assert "runs again" not in shown


CONDITION_HELP = {
    "changed setting": (["--max-boxes", "2"], "extract    runs again: max_boxes 3 -> 2"),
    "changed look": (["--dim", "0.5"], "visualize  runs again: dim 1.0 -> 0.5"),
    "another prefix": (["--file-name-prefix", "other"], "load       runs again: never done before"),
}


@pytest.mark.parametrize("case", CONDITION_HELP)
def test_explain_names_what_changed(finished: Path, capfd: pytest.CaptureFixture[str], case: str) -> None:
    flags, line = CONDITION_HELP[case]
    assert exit_code("explain", "out.jsonl", *flags) == 0
    assert line in capfd.readouterr().out


def test_explain_names_changed_rows_and_images(finished: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_photo(finished / "photo1.png", 50)
    assert exit_code("explain", "out.jsonl") == 0
    assert "load       runs again: the size or time of an image changed" in capfd.readouterr().out
    write_rows(finished / "photos.jsonl", [{"image": "photo1.png"}])
    exit_code("explain", "out.jsonl")
    assert "load       runs again: other rows" in capfd.readouterr().out


def test_explain_verify_reads_everything(finished: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (data,) = (finished / "cache" / "regioncap_step4").glob("*.jsonl")
    data.write_bytes(data.read_bytes()[::-1])
    exit_code("explain", "out.jsonl")
    assert "normalize  reused" in capfd.readouterr().out
    exit_code("explain", "out.jsonl", "--verify")
    assert "normalize  runs again: its file is damaged" in capfd.readouterr().out


# --- with a model server


def test_three_commands_and_a_fake_server(project: Path, prefect_server: None) -> None:
    command = [*COMMAND, "fake-vlm", "--port", "0", "--latency", "0.01", "--fault", "500=0.1"]
    server = subprocess.Popen(command, cwd=project, env=environment(), stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        url = server.stderr.readline().split()[2].rstrip(";")
        flags = ["photos.jsonl", "--endpoint", url, "--model", "fake-vlm", "--max-pixels", "40000", "--max-boxes", "3"]

        planned = regioncap(project, "plan", *flags, "--usd-per-m-in", "100", "--usd-per-m-out", "400")
        assert planned.returncode == 0, planned.stderr
        counts = dict(line.rsplit(maxsplit=1) for line in planned.stdout.splitlines()[:11])
        assert counts["rows"] == "6"
        assert (counts["  with boxes"], counts["regions given"]) == ("3", "3")
        assert (counts["  without boxes"], counts["regions to find, at most"]) == ("3", "9")
        assert (counts["requests needed"], counts["  already done"]) == ("6", "0")
        assert float(counts["US dollars, about"]) > 0

        tried = regioncap(project, "try", *flags, "--row", "2", "--prompt", "{num_regions} for {id}")
        assert tried.returncode == 0, tried.stderr
        assert '"text": "1 for 001' in tried.stdout
        assert "<region1>    Region 1 of picture" in tried.stdout
        assert (project / ".regioncap" / "marks").is_dir()
        assert not (project / "photos.regioncap.jsonl").exists()

        done = regioncap(project, "run", *flags)
        assert done.returncode == 0, done.stderr
        assert "fake-vlm at 127.0.0.1" in done.stderr
        assert "(marked pictures are sent there)" in done.stderr
        assert len(read_rows(project / "photos.regioncap.jsonl")) == 6
        after = regioncap(project, "plan", *flags)
        counts = dict(line.rsplit(maxsplit=1) for line in after.stdout.splitlines()[:10])
        assert (counts["  already done"], counts["requests needed"]) == ("6", "0")
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=60)


def test_try_needs_no_model(project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    assert exit_code("try", "photos.jsonl", "--captioner", "pixels", "--row", "2") == 0
    shown = capsys.readouterr().out
    assert "regions      1 given, xywh: [[12, 16, 36, 40]]" in shown
    assert "<region1>    A" in shown
    write_rows(project / "photos.jsonl", [{"image": "gone.png"}])
    assert exit_code("try", "photos.jsonl", "--captioner", "pixels") == 1
    assert "rejected     image_missing" in capsys.readouterr().out


def test_a_dead_endpoint_is_one_clear_line(project: Path, prefect_server: None) -> None:
    done = regioncap(project, "run", "photos.jsonl", *SOMEWHERE, "--output", "out.jsonl")
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if "does not answer" in line] == [
        "regioncap: http://127.0.0.1:9/v1 does not answer (cannot connect: Connection refused). Start the server, or "
        "correct --endpoint, and run the same command again."
    ]
    assert "Traceback" not in done.stderr
    assert "regioncap run photos.jsonl --endpoint http://127.0.0.1:9/v1" in done.stderr
