"""The `regioncap` command: wrong usage and help."""

from __future__ import annotations

import importlib.abc
import subprocess
import sys
from pathlib import Path

import pytest

import regioncap.command
from regioncap.command.app import app
from regioncap.config.model import RegionCapConfig
from tests.support.commands import COMMAND, ROOT, call

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
        "no row has the key 'label'; the rows have: image, id, bbox",
    ),
    "price without prices": (["run", "photos.jsonl", *SOMEWHERE, "--max-usd", "5"], "max_usd: expected the prices"),
    "endpoint for pixels": (["run", "photos.jsonl", *SOMEWHERE, "--captioner", "pixels"], "'pixels' uses none"),
    "unknown fault": (["fake-vlm", "--fault", "fire=0.1"], "--fault: expected NAME=SHARE"),
    "no such row": (["try", "photos.jsonl", "--captioner", "pixels", "--row", "99"], "--row: expected a line of the"),
    "unknown captioner": (["run", "photos.jsonl", "--captioner", "pixles"], "did you mean pixels?), got 'pixles'"),
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
def test_wrong_usage_exits_2_with_a_message(here: Path, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    args, message = WRONG[case]
    done = call(capsys, *args)
    assert done.code == 2
    assert message in done.err
    assert {path.name for path in here.iterdir() if "photo" not in path.name} == set()


def test_every_config_field_has_its_flag(capsys: pytest.CaptureFixture[str]) -> None:
    shown = call(capsys, "run", "--help").out
    flags = ["--" + name.replace("_", "-") for name in RegionCapConfig.model_fields if name != "input"]
    assert [flag for flag in flags if flag not in shown] == []


def test_bare_command_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    done = call(capsys, "--help")
    assert done.code == 0
    assert "run" in done.out


def test_a_reader_that_has_seen_enough_is_no_failure() -> None:
    command = [*COMMAND, "fake-vlm", "--personas"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()  # as `| head` does
        errors = running.stderr.read()
    assert (running.returncode, errors) == (0, b"")


PLUGIN_AT_WORK = """
import threading
from regioncap.command.app import main
from regioncap.row_work import plugin_work

def work():
    with plugin_work("extractor 'my_pkg.yolo:find'", "my_pkg.yolo"):
        threading.Event().wait(600)

threading.Thread(target=work).start()
main(["--version"])
"""


def test_a_plugin_that_does_not_return_does_not_keep_the_command() -> None:
    done = subprocess.run([sys.executable, "-c", PLUGIN_AT_WORK], capture_output=True, text=True, timeout=240)
    assert (done.returncode, "0.1" in done.stdout) == (0, True)
    assert "extractor 'my_pkg.yolo:find' is still at work and is not waited for" in done.stderr


def test_ctrl_c_while_the_command_is_imported_is_a_stop(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupted(importlib.abc.MetaPathFinder):
        def find_spec(self, name: str, *_: object) -> None:
            if name == "regioncap.command.app":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "regioncap.command.app", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])
    with pytest.raises(SystemExit) as end:
        regioncap.command.main()
    assert end.value.code == 1
    assert capsys.readouterr().err == "regioncap: stopped\n"


def test_each_command_is_where_the_list_says() -> None:
    assert [command.name for command in app.commands.values()] == list(app.commands)


def test_a_command_is_imported_without_the_others() -> None:
    code = "import sys\nfrom regioncap.command.app import app\napp.commands['run']\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240, check=True)
    assert "regioncap.command.run" in done.stdout.split()
    assert not {"regioncap.command.fake_vlm", "regioncap.command.outputs", "jinja2"} & set(done.stdout.split())
