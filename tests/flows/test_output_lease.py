"""Two runs for one output at a time: the second is refused before anything is asked for, and nothing changes."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from regioncap.captioners.fake_server import Behaviour, RunningServer
from regioncap.command.app import main
from regioncap.errors import OutputInUse
from regioncap.output.join import Tally
from regioncap.output.joined_ahead import write_joined
from regioncap.output.lease import lease_place
from regioncap.storage.filesystem import Place
from regioncap.storage.holders import Holder, LeaseHeld
from regioncap.storage.leases import acquire
from tests.support.runs import Run


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with RunningServer(Behaviour(latency=0.0, slots=4)) as running:
        yield running


@contextlib.contextmanager
def first_run(output: str) -> Iterator[None]:
    """A run that writes `output`, as others see it."""
    lease = acquire(lease_place(Place(output)), Holder.here("brave-otter"))
    try:
        yield
    finally:
        lease.release()


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


SPELLINGS: dict[str, Callable[[Path], str]] = {
    "same": lambda folder: f"{folder}/out.jsonl",
    "relative": lambda folder: "out.jsonl",
    "dots": lambda folder: f"{folder}/./photos/../out.jsonl",
    "url": lambda folder: f"file://{folder}/out.jsonl",
    "linked folder": lambda folder: f"{folder}/link/out.jsonl",
    "linked file": lambda folder: f"{folder}/link.jsonl",
    "same companions": lambda folder: f"{folder}/out",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_whatever_the_output_is_called_the_second_run_is_refused(
    spelling: str, project: Path, run: Run, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    (project / "photos").mkdir()
    (project / "link").symlink_to(project)
    (project / "link.jsonl").symlink_to(project / "out.jsonl")
    with first_run(f"{project}/out.jsonl"):
        before = everything(project)
        with pytest.raises(OutputInUse) as refused:
            run(
                project, output=SPELLINGS[spelling](project), captioner="openai", endpoint=server.url, model="m",
                cache_path=f"{project}/other-cache",
            )  # fmt: skip
        assert everything(project) == before
    assert server.stats["requests"] == 0
    message = str(refused.value)
    assert f"process {os.getpid()} on host" in message
    assert "(run brave-otter)" in message
    assert "Wait until that run has ended and rerun, or choose another output." in message


def test_outputs_side_by_side_do_not_meet(project: Path, run: Run) -> None:
    with first_run(f"{project}/out.jsonl"), first_run(f"{project}/out/"), first_run(f"{project}/out2.jsonl"):
        assert run(project, output=f"{project}/out1.jsonl").complete
    assert not list(project.rglob("*lease*"))


def test_an_output_in_parts(project: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    run(project, output="out/")
    (project / "link").symlink_to(project / "out")
    with first_run(f"{project}/out/"):
        before = everything(project / "out")
        for output in ("out/", "out//", "./out/", "link/", f"file://{project}/out/"):
            with pytest.raises(OutputInUse):
                run(project, output=output, max_boxes=1)
        assert everything(project / "out") == before
    assert run(project, output="out/", max_boxes=1).complete


def test_a_run_that_finds_everything_done_needs_no_lease(project: Path, run: Run) -> None:
    first = run(project)
    with first_run(f"{project}/out.jsonl"):
        assert run(project).rows_out == first.rows_out
        with pytest.raises(OutputInUse):
            run(project, max_boxes=1)


def test_in_a_bucket_s3_and_s3a_are_one(bucket: str) -> None:
    with (
        first_run(f"{bucket}/out.jsonl"),
        pytest.raises(LeaseHeld),
        first_run(f"{bucket}/out.jsonl".replace("s3", "s3a", 1)),
    ):
        pass


def test_the_command_says_it_before_it_starts_prefect(
    project: Path, server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    output = f"{project}/out.jsonl"
    arguments = [f"--output={output}", f"--cache-path={project}/cache", f"--endpoint={server.url}", "--model=m"]
    with first_run(output), pytest.raises(SystemExit) as ended:
        main(["run", f"{project}/photos.jsonl", *arguments])
    assert ended.value.code == 1
    printed = capsys.readouterr().err
    assert f"regioncap: {output}: another run is writing this output: process {os.getpid()} on host" in printed
    assert "starting Prefect" not in printed


def test_a_run_whose_output_was_taken_over_leaves_it(
    project: Path, run: Run, memory: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = memory.child("out.jsonl")
    output.write(b"of an earlier run")

    def taken_over_while_writing(*args: Any) -> Tally:
        lease_place(output).child("2").write(Holder.here("the other").record())
        return write_joined(*args)

    monkeypatch.setattr("regioncap.tasks.write.write_joined", taken_over_while_writing)
    with pytest.raises(OutputInUse, match="another run has taken over this output"):
        run(project, output=output.address)
    assert output.read() == b"of an earlier run"
    assert lease_place(output).names() == ["2"]
    assert output.parent.names() == [".out.lease", "out.jsonl"]


def test_leftovers_of_killed_runs_go_with_a_later_run(project: Path, run: Run) -> None:
    run(project)
    places = [project / "cache" / "regioncap_step3", project / "cache" / "regioncap_runs", project]
    old = [folder / f".out.jsonl.{uuid.uuid4().hex}.part" for folder in places]
    young = project / "cache" / "regioncap_step3" / f".out.jsonl.{uuid.uuid4().hex}.part"
    for path in (*old, young):
        path.write_bytes(b"half")
    for path in old:
        os.utime(path, (0, 0))
    with first_run(f"{project}/out.jsonl"):
        run(project)
        assert [path.exists() for path in old] == [False, False, True]
    run(project)
    assert not old[-1].exists()
    assert young.exists()
