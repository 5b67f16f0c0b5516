"""Work done ahead, in order, with a bound."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from regioncap.run.threads import map_ahead


@pytest.mark.parametrize(
    ("bounds", "ahead"), [({"at_once": 3}, 3), ({"at_once": 100, "bytes_of": len, "max_bytes": 40}, 5)]
)
def test_items_come_in_order_and_no_more_are_taken_up_than_the_bounds_allow(bounds: dict[str, Any], ahead: int) -> None:
    taken: list[str] = []

    def items() -> Iterator[str]:
        for number in range(20):
            taken.append(f"{number:010d}")
            yield taken[-1]

    with ThreadPoolExecutor(4) as pool:
        for place, (item, result) in enumerate(map_ahead(pool, str.strip, items(), **bounds)):
            assert (int(item), result) == (place, item)
            assert len(taken) <= place + ahead


def test_what_fails_is_raised_at_its_item() -> None:
    with ThreadPoolExecutor(1) as pool:
        numbers = map_ahead(pool, lambda number: 1 // number, [1, 0], at_once=8)
        assert next(numbers) == (1, 1)
        with pytest.raises(ZeroDivisionError):
            next(numbers)
