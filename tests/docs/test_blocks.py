"""Every code block of README and docs/ is run, or, where a comment says why it cannot be, checked. See pages.py."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
import yaml

from regioncap.config.model import RegionCapConfig
from tests.docs.commands import check, lines, unknown_options
from tests.docs.pages import PAGES, Block, blocks, code_words, name_of, prose
from tests.support.commands import ROOT, call

EXAMPLE_SERVER = "http://localhost:8000/v1"
EXAMPLE_BUCKET = "s3://bucket"
RUN_ELSEWHERE = {ROOT / "docs" / "extending.md"}
"""Pages that need more than the others: test_extending.py runs its commands."""

SERVING = ("fake-vlm", "serve", "serve-model")


@pytest.fixture
def here(finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the finished run, which is the current folder."""
    shutil.copytree(finished_run, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.fixture
def localized(model_server: str, request: pytest.FixtureRequest) -> Callable[[str], str]:
    """A block's text with the examples' server and bucket replaced by those of the tests."""

    def replace(text: str) -> str:
        if EXAMPLE_BUCKET in text:
            bucket = request.getfixturevalue("bucket")
            fsspec.filesystem("s3").put("photos", f"{bucket}/photos", recursive=True)
            fsspec.filesystem("s3").put("photos.jsonl", f"{bucket}/photos.jsonl")
            text = text.replace(EXAMPLE_BUCKET, bucket)
        return text.replace(EXAMPLE_SERVER, model_server)

    return replace


@pytest.mark.parametrize("page", sorted({*PAGES} - RUN_ELSEWHERE), ids=name_of)
def test_the_blocks_of_a_page_run(
    page: Path, here: Path, localized: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    for block in blocks(page):
        if block.title:
            (here / block.title).write_text(localized(block.text))
        if block.kind == "line of":
            real = map(json.loads, (here / block.note).read_text().splitlines())
            assert any(shows(json.loads(block.text), line) for line in real), f"{block.place}: not in {block.note}"
        if block.language == "sh" and block.runs:
            run_shell(block, localized(block.text), capsys)
        elif block.language == "python" and block.runs and not block.title:
            exec(compile(localized(block.text), block.place, "exec"), {"__name__": "__main__"})
        else:
            CHECKS[block.language](block)


def run_shell(block: Block, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words in lines(text):
        assert words[0] == "regioncap", f"{block.place}: {words[0]} is not run here: say why with <!-- not run: … -->"
        assert words[1] not in SERVING, f"{block.place}: {words[1]} serves until it is stopped: <!-- not run: … -->"
        done = call(capsys, *words[1:])
        assert done.code == 0, f"{block.place}: {' '.join(words)}\n{done.out}{done.err}"


def shows(example: Any, real: Any) -> bool:
    """Whether `real` is what the page shows of it: "…" stands for any text, key or rest of a list."""
    if isinstance(example, dict):
        return all(key in real and shows(value, real[key]) for key, value in example.items() if key != "…")
    if isinstance(example, list):
        return len(example) <= len(real) and all(map(shows, example, real))
    if isinstance(example, str):
        return re.fullmatch(".*".join(map(re.escape, example.split("…"))), str(real), re.DOTALL) is not None
    return bool(example == real)


def check_shell(block: Block) -> None:
    for words in lines(block.text):
        check(words)


def check_python(block: Block) -> None:
    compile(block.text, block.place, "exec")


def check_json(block: Block) -> None:
    """One value, or one a line."""
    try:
        json.loads(block.text)
    except json.JSONDecodeError:
        for line in block.text.splitlines():
            json.loads(line)


def check_toml(block: Block) -> None:
    check_settings(block, tomllib.loads(block.text))


def check_yaml(block: Block) -> None:
    check_settings(block, yaml.safe_load(block.text))


def check_settings(block: Block, values: dict[str, Any]) -> None:
    """What is a file is read by the commands that follow; what is none is settings of a run."""
    if not block.title:
        RegionCapConfig(**values)


def check_text(block: Block) -> None:
    """A drawing, a listing: nothing to run."""
    assert block.runs, f"{block.place}: text is never run, so the comment is superfluous"


CHECKS: dict[str, Callable[[Block], None]] = {
    "sh": check_shell, "python": check_python, "json": check_json, "toml": check_toml, "yaml": check_yaml,
    "text": check_text,
}  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_block_says_what_it_is_and_what_is_done_with_it(page: Path) -> None:
    for block in blocks(page):
        assert block.language in CHECKS, f"{block.place}: expected one of {', '.join(CHECKS)}"
        assert block.kind in ("", "line of", "not run"), f"{block.place}: <!-- {block.kind}: … --> means nothing"
    assert "```" not in prose(page), "a fence that is not closed"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_extras_in_the_prose_exist(page: Path) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for named in re.findall(r"'\.\[([\w,]+)\]'", page.read_text()):
        assert set(named.split(",")) <= extras.keys(), f"{name_of(page)}: [{named}]"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_options_in_the_prose_exist(page: Path) -> None:
    for code in code_words(page):
        if code.startswith(("--", "regioncap ")):
            assert not unknown_options(code), f"{name_of(page)}: `{code}`"
