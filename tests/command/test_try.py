"""`regioncap try`: each end of it is shown, with the raw answer; and nothing from outside acts on the terminal."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from regioncap.captioners.fake_server import Behaviour, RunningServer, ScriptedResponse
from tests.support.commands import Ended, call
from tests.support.rows import BOX, write_rows

EVIL = "\x1b]0;evil\x07 \x9b31m \u202e"
SHOWN = "\\x1b]0;evil\\x07 \\x9b31m \\u202e"


@pytest.fixture
def server() -> Iterator[RunningServer]:
    """A fake server that does as `change` says."""
    with RunningServer(Behaviour(latency=0.0)) as running:
        yield running


def trial(capsys: pytest.CaptureFixture[str], server: RunningServer, *flags: str) -> Ended:
    """`try` of the first row with one attempt."""
    endpoint = ("--endpoint", server.url, "--model", "fake-vlm", "--max-repairs", "0", "--structure", "none")
    return call(capsys, "try", "photos.jsonl", *endpoint, *flags)


def completion(text: str, **more: Any) -> ScriptedResponse:
    message = {"role": "assistant", "content": text}
    return ScriptedResponse({"choices": [{"message": message, "finish_reason": "stop", **more}]})


def acts(text: str) -> set[str]:
    """The signs in `text` that would act on a terminal."""
    return {sign for sign in text if unicodedata.category(sign) in ("Cc", "Cf") and sign not in "\n\t"}


def test_a_refusal_is_a_reject_with_the_raw_answer(
    here: Path, server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.change(script=lambda body: completion("I'm sorry, I can't help with that."))
    ended = trial(capsys, server)
    assert ended.code == 1
    assert "answer       stop" in ended.out
    assert "  I'm sorry, I can't help with that." in ended.out
    assert "rejected     captions_incomplete: no caption for <region1>" in ended.out
    assert "the model refused" in ended.out
    assert "Traceback" not in ended.err


def test_captions_that_came_are_shown_beside_the_reject(
    here: Path, server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows(here / "photos.jsonl", [{"image": "photo1.png", "bbox": [BOX, [1, 1, 20, 20]]}])
    server.change(script=lambda body: completion("<region1>: A dog on a lawn.\n<region2>: N/A"))
    ended = trial(capsys, server)
    assert ended.code == 1
    assert "<region1>    A dog on a lawn." in ended.out
    assert "no caption for <region2>" in ended.out


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (ScriptedResponse({"error": {"message": "the picture is refused"}}, 422), "the picture is refused"),
        (ScriptedResponse({"error": {"message": f"bad {EVIL}"}}, 422), f"bad {SHOWN}"),
        (completion("A dog", finish_reason=f"abort{EVIL}"), "abort"),
    ],
)
def test_an_error_of_the_server_is_a_clear_line(
    here: Path, server: RunningServer, capsys: pytest.CaptureFixture[str], response: ScriptedResponse, said: str
) -> None:
    server.change(script=lambda body: response)
    ended = trial(capsys, server)
    assert ended.code == 1
    assert said in ended.out + ended.err
    assert "Traceback" not in ended.err
    assert not acts(ended.out + ended.err)


def test_a_size_that_is_not_the_pictures_is_told(
    here: Path, server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows(here / "photos.jsonl", [{"image": "photo1.png", "bbox": BOX, "width": 192, "height": 128}])
    assert "warning      the row tells a size of 192x128, its image has 96x64" in trial(capsys, server).out
    scaled = trial(capsys, server, "--box-size", "row").out
    assert f"xywh: [{[number / 2 for number in BOX]}]" in scaled
    assert "a size of" not in scaled


def test_what_the_model_says_does_not_act_on_the_terminal(
    here: Path, server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.change(script=lambda body: completion(f"<region1>: A dog on {EVIL} a lawn."))
    ended = trial(capsys, server)
    assert SHOWN in ended.out
    assert not acts(ended.out + ended.err)


def test_nor_do_rows_and_file_names(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_rows(here / "photos.jsonl", [{"image": f"gone{EVIL}.png", "bbox": [BOX]}])
    ended = call(capsys, "try", "photos.jsonl", "--captioner", "pixels")
    assert ended.code == 1
    assert "rejected     image_missing" in ended.out
    assert SHOWN in ended.out
    assert not acts(ended.out + ended.err)
    for args in (["run", f"none{EVIL}.jsonl", "--captioner", "pixels"], ["explain", f"none{EVIL}"], [f"none{EVIL}"]):
        ended = call(capsys, *args)
        assert ended.code == 2
        assert not acts(ended.out + ended.err)
        assert SHOWN in ended.err or "none" not in ended.err


def test_steps_are_the_same_data_with_escapes(here: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    row = {"image": "photo1.png", "bbox": [BOX], "note": EVIL}
    (here / "photos.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    from regioncap.command.app import main

    with pytest.raises(SystemExit):
        main(["steps", "photos.jsonl", "0", "--captioner", "pixels"])
    written = capfdbinary.readouterr().out.decode()
    assert not acts(written)
    assert json.loads(written) == row
