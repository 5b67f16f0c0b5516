"""What runs again, rule by rule: each change costs the steps that it must, and no others."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path

import pytest

from regioncap.output.summary import Summary
from tests.support.photos import write_photo
from tests.support.rows import BOX, read_rows, write_rows
from tests.support.runs import Run

FROM_EXTRACT = ["extract", "normalize", "visualize", "caption"]


def ran(summary: Summary) -> list[str]:
    """Names of the steps whose bodies ran, in the order in which they first did."""
    return list(summary.step_seconds)


def files(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in ("out.jsonl", "out.rejects.jsonl", "out.summary.json")}


def manifests(folder: Path, step: int) -> list[Path]:
    return sorted((folder / "cache" / f"regioncap_step{step}").glob("*.json"))


def test_first_run_runs_every_step(project: Path, run: Run) -> None:
    summary = run(project)
    assert ran(summary) == ["load", "route", *FROM_EXTRACT]
    assert (summary.captions_asked, summary.captions_reused) == (summary.regions, 0)


def test_unchanged_run_runs_nothing_and_writes_the_same_bytes(project: Path, run: Run) -> None:
    run(project)
    before = files(project)
    again = run(project)
    assert ran(again) == []
    assert (again.captions_asked, again.captions_reused) == (0, again.regions)
    assert files(project) == before


def test_lost_output_is_written_again_without_any_step(project: Path, run: Run) -> None:
    run(project)
    before = files(project)
    (project / "out.jsonl").unlink()
    assert ran(run(project)) == []
    assert files(project)["out.jsonl"] == before["out.jsonl"]


def test_changed_max_boxes_runs_from_extract_on(project: Path, run: Run) -> None:
    run(project)
    summary = run(project, max_boxes=2)
    assert ran(summary) == FROM_EXTRACT
    assert all(len(row["meta_info"]["normalized_bbox"]) == 2 for row in read_rows(project / "out.jsonl"))


def test_changed_look_of_the_marks_and_back(project: Path, run: Run) -> None:
    run(project)
    before = files(project)["out.jsonl"]
    assert ran(run(project, dim=0.8)) == ["visualize", "caption"]
    assert ran(run(project)) == []
    assert files(project)["out.jsonl"] == before


def test_changed_output_key_only_writes(project: Path, run: Run) -> None:
    run(project)
    assert ran(run(project, output_key="regions")) == []
    assert "regions" in read_rows(project / "out.jsonl")[0]


def test_appended_row_costs_its_shard_only(tmp_path: Path, run: Run) -> None:
    photo = write_photo(tmp_path / "p.png", 1)
    rows = [{"image": photo.name, "bbox": [BOX], "n": number} for number in range(40)]
    write_rows(tmp_path / "photos.jsonl", rows)
    run(tmp_path, shard_size=8)
    before = {path.name for path in manifests(tmp_path, 1)}
    write_rows(tmp_path / "photos.jsonl", [*rows, {**rows[0], "n": "last"}])
    summary = run(tmp_path, shard_size=8)
    assert summary.rows_out == 41
    assert len({path.name for path in manifests(tmp_path, 1)} - before) == 1


def test_inserted_row_moves_few_shards(tmp_path: Path, run: Run) -> None:
    photo = write_photo(tmp_path / "p.png", 1)
    rows = [{"image": photo.name, "bbox": [BOX], "n": number} for number in range(80)]
    write_rows(tmp_path / "photos.jsonl", rows)
    run(tmp_path, shard_size=8)
    before = {path.name for path in manifests(tmp_path, 6)}
    write_rows(tmp_path / "photos.jsonl", [*rows[:30], {**rows[0], "n": "new"}, *rows[30:]])
    summary = run(tmp_path, shard_size=8)
    assert summary.rows_out == 81
    assert len({path.name for path in manifests(tmp_path, 6)} - before) <= 3 < len(before)


def test_a_row_on_top_redoes_no_pixels_below_it(tmp_path: Path, run: Run) -> None:
    # Every line below gets another number, the broken ones too: only `load` and `route` see it.
    photo = write_photo(tmp_path / "p.png", 1)
    rows = [{"image": photo.name, "bbox": [BOX], "n": n} if n % 9 else "{broken" for n in range(80)]
    write_rows(tmp_path / "photos.jsonl", rows)
    run(tmp_path, shard_size=8)
    before = {path.name for path in manifests(tmp_path, 3)}
    write_rows(tmp_path / "photos.jsonl", [{"image": photo.name, "n": "new"}, *rows])
    run(tmp_path, shard_size=8)
    assert len({path.name for path in manifests(tmp_path, 3)} - before) <= 3 < len(before)
    assert read_rows(tmp_path / "out.rejects.jsonl")[0]["message"].startswith("line 2: not JSON")


def test_a_touched_image_costs_one_read(project: Path, run: Run) -> None:
    run(project)
    before = files(project)["out.jsonl"]
    os.utime(project / "photo1.png", ns=(1, 1))
    summary = run(project)
    # `extract` reads the images of that shard again, finds the same bytes, and all goes on as it was.
    assert ran(summary) == ["load", "route", "extract"]
    assert files(project)["out.jsonl"] == before


def test_changed_image_runs_its_shard_again(project: Path, run: Run) -> None:
    run(project)
    before = read_rows(project / "out.jsonl")
    write_photo(project / "photo1.png", 99)
    summary = run(project)
    assert ran(summary) == ["load", "route", *FROM_EXTRACT]
    changed = [old["id"] for old, new in zip(before, read_rows(project / "out.jsonl"), strict=True) if old != new]
    assert changed == ["001"]


def test_image_check_never_reads_no_image(project: Path, run: Run) -> None:
    run(project, image_check="never")
    write_photo(project / "photo1.png", 99)
    assert ran(run(project, image_check="never")) == []


@pytest.mark.parametrize("step", range(1, 7))
def test_deleted_step_file_is_made_again(project: Path, run: Run, step: int) -> None:
    run(project)
    before = files(project)
    for path in (project / "cache" / f"regioncap_step{step}").glob("*.jsonl"):
        path.unlink()
    names = ["load", "route", *FROM_EXTRACT]
    assert ran(run(project)) == [names[step - 1]]
    assert files(project) == before


@pytest.mark.parametrize("step", [1, 5, 6])
def test_damaged_step_file_is_noticed_when_read(project: Path, run: Run, step: int) -> None:
    run(project)
    before = files(project)["out.jsonl"]
    (data,) = (project / "cache" / f"regioncap_step{step}").glob("*.jsonl")
    flipped = bytearray(data.read_bytes())
    flipped[len(flipped) // 2] ^= 1  # same size: only the sha256 differs
    data.write_bytes(bytes(flipped))
    (project / "out.jsonl").unlink()  # so that `write` reads the step files
    summary = run(project)
    assert summary.complete
    assert files(project)["out.jsonl"] == before


def test_damaged_file_between_steps_is_made_again(project: Path, run: Run) -> None:
    run(project)
    before = files(project)["out.jsonl"]
    (data,) = (project / "cache" / "regioncap_step3").glob("*.jsonl")
    data.write_bytes(data.read_bytes().replace(b"photo1", b"photo2", 1))
    for path in manifests(project, 4):
        path.unlink()
    assert "extract" in ran(run(project))
    assert files(project)["out.jsonl"] == before


def test_moved_cache_is_used_where_it_is(project: Path, run: Run) -> None:
    run(project)
    shutil.move(project / "cache", project / "elsewhere")
    assert ran(run(project, cache_path=str(project / "elsewhere"))) == []


def test_moved_project_costs_nothing(project: Path, run: Run, tmp_path_factory: pytest.TempPathFactory) -> None:
    run(project)
    new = tmp_path_factory.mktemp("new") / "project"
    shutil.copytree(project, new)  # copy2 keeps the times, as a move does
    assert ran(run(new)) == []


def test_raised_step_version_runs_that_step_and_what_reads_other_bytes(
    project: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    import regioncap.tasks.normalize
    import regioncap.tasks.shard

    run(project)
    raised = dataclasses.replace(regioncap.tasks.normalize.NORMALIZE, version=99)
    monkeypatch.setattr(regioncap.tasks.normalize, "NORMALIZE", raised)
    monkeypatch.setattr(
        regioncap.tasks.shard,
        "STEPS",
        tuple(raised if spec.name == "normalize" else spec for spec in regioncap.tasks.shard.STEPS),
    )
    assert ran(run(project)) == ["normalize"]  # the same bytes come out, so the steps after it are done


def test_missing_image_that_comes_is_captioned_next_time(project: Path, run: Run) -> None:
    (project / "photo1.png").rename(project / "away.png")
    assert run(project).rejects_by_code == {"image_missing": 1}
    (project / "away.png").rename(project / "photo1.png")
    assert run(project).rejects == 0


def test_marked_pictures_deleted_by_hand_do_not_stop_a_run(project: Path, run: Run) -> None:
    run(project)
    shutil.rmtree(project / "cache" / "marks")
    assert ran(run(project)) == []


def test_two_outputs_share_one_cache(project: Path, run: Run) -> None:
    run(project)
    summary = run(project, output=str(project / "second.jsonl"))
    assert ran(summary) == []
    assert (project / "second.jsonl").read_bytes() == (project / "out.jsonl").read_bytes()
