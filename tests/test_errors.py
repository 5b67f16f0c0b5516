"""The tree of errors: whole, picklable, and each with a message that helps."""

from __future__ import annotations

import pickle
import re

import pytest

from regioncap import errors

MADE = [
    errors.UsageError("no input"),
    errors.ConfigError("max_boxes", "a number", "many"),
    errors.RowReject("bad_bbox", "four numbers, got 3"),
    errors.InputDamaged("a.gz", "line 7", "ends too early"),
    errors.StorageError("s3://b/a", "write", "denied"),
    errors.CaptionerError("no server"),
    errors.OutputInUse("out.jsonl", "process 7 on host b", lost=True),
    errors.WorkersLost("all workers are gone"),
    errors.RowsFailAlike("all of the first 500 rows"),
    errors.AccountingError("one row is missing"),
]


@pytest.mark.parametrize("error", MADE, ids=lambda error: type(error).__name__)
def test_errors_travel_between_processes(error: errors.RegionCapError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.__dict__) == (type(error), str(error), error.__dict__)


def test_the_drawn_tree_is_the_real_one() -> None:
    drawn = set(re.findall(r"── (\w+)", errors.__doc__ or "")) | {"RegionCapError"}
    real = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert drawn == real


def test_messages_name_thing_expected_and_actual() -> None:
    assert str(MADE[1]) == "max_boxes: expected a number, got 'many'"
    assert all(word in str(MADE[3]) for word in ("a.gz", "line 7", "ends too early", "rerun; it resumes"))
    assert str(MADE[4]).startswith("cannot write s3://b/a: denied")


def test_the_codes_that_may_pass() -> None:
    assert {"image_unavailable", "caption_failed", "captions_incomplete", "internal_error"} == errors.RETRYABLE_CODES
