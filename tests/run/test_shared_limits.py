"""One set of limits for several processes, against simulated ones: no clock, no network, no process."""

from __future__ import annotations

from typing import Any

import pytest

from regioncap.captioners.allowance import NOTHING, HeldAllowance
from regioncap.config.model import RegionCapConfig
from regioncap.records import Counts
from regioncap.run.shared_limits import SharedLimits, fair_shares


class Processes:
    """Simulated processes of a run with these limits; each sends what it may of the requests that it has."""

    def __init__(self, *names: str, **limits: Any) -> None:
        if "max_usd" in limits:
            limits |= {"usd_per_m_in": 1_000_000.0, "usd_per_m_out": 0.0}
        self._limits = SharedLimits(RegionCapConfig(input="a.jsonl", model="m", endpoint="http://h/v1", **limits))
        self.held = {name: HeldAllowance(NOTHING) for name in names}
        self.work = dict.fromkeys(names, 0)
        self.sent = dict.fromkeys(names, 0)
        self.now = 0.0
        for name, held in self.held.items():
            held.wanted = lambda name=name: self.work[name]  # type: ignore[misc]

    def settle(self, *names: str) -> None:
        """The run's process asks these, or all."""
        for name in names or tuple(self.held):
            use = self.held[name].replace(self._limits.grant(name, self.now))
            self._limits.report(name, use)

    def send(self, *names: str) -> dict[str, int]:
        """Each sends what it may; gives how many."""
        sent = dict.fromkeys(names or tuple(self.held), 0)
        for name in sent:
            while self.work[name] and self.held[name].take():
                self.work[name] -= 1
                sent[name] += 1
                self.sent[name] += 1
        return sent

    def answer(self, name: str, count: int, tokens: int = 1) -> None:
        """Some of what it sent comes back; each has so many tokens, at a dollar each."""
        for _ in range(count):
            self.held[name].end()
        self._limits.spend(Counts(prompt_tokens=tokens * count, finish_reasons={"stop": count}))

    def lose(self, name: str, *, reports_late: bool = False) -> None:
        """It is killed; `reports_late`: and its last reply is read after that."""
        use = self.held.pop(name).replace(NOTHING)
        self._limits.lose(name)
        if reports_late:
            self._limits.report(name, use)

    def until_over(self) -> None:
        """Every process sends and is answered, until one is told that nothing is left."""
        for _ in range(1000):
            if any(held.over for held in self.held.values()):
                return
            self.settle()
            for name, count in self.send().items():
                self.answer(name, count)
        raise AssertionError("it never ended")


def test_nothing_is_sent_before_it_is_granted() -> None:
    processes = Processes("a", "b", max_in_flight=8)
    processes.work = {"a": 5, "b": 5}
    assert processes.send() == {"a": 0, "b": 0}


def test_slots_go_to_who_needs_them_and_never_beyond_the_limit() -> None:
    processes = Processes("a", "b", max_in_flight=8)
    processes.work["a"] = 20
    processes.settle()
    processes.settle()
    assert processes.send()["a"] + processes.send()["b"] == 8  # the other has nothing to send
    processes.work["b"] = 20
    for _ in range(3):
        processes.settle()
        assert processes.send("b") == {"b": 0}  # all slots are in use
    processes.answer("a", 6)
    processes.settle()
    processes.settle()
    assert sum(processes.send().values()) == 6
    assert processes.sent["b"] == 4


def test_fewer_slots_than_processes() -> None:
    processes = Processes("a", "b", "c", max_in_flight=1, max_requests=1000)
    processes.work = {"a": 3, "b": 3, "c": 3}
    for _ in range(100):
        processes.settle()
        sent = processes.send()
        assert sum(sent.values()) <= 1
        for name, count in sent.items():
            processes.answer(name, count)
    assert processes.sent == {"a": 3, "b": 3, "c": 3}


@pytest.mark.parametrize("work", [{"a": 100, "b": 100}, {"a": 100, "b": 0}, {"a": 3, "b": 100}])
def test_all_of_max_requests_is_used_and_no_more(work: dict[str, int]) -> None:
    processes = Processes("a", "b", max_requests=30)
    processes.work = work
    processes.until_over()
    assert sum(processes.sent.values()) == 30
    assert {held.over for held in processes.held.values()} <= {"", "max_requests=30 is reached"}


def test_who_has_no_slot_holds_no_request() -> None:
    processes = Processes(*"abcde", max_in_flight=3, max_requests=7)
    processes.work = dict.fromkeys("abcde", 20)
    processes.until_over()
    assert sum(processes.sent.values()) == 7


def test_who_has_nothing_more_to_send_gives_back_what_it_holds() -> None:
    processes = Processes("a", "b", max_requests=10)
    processes.work["a"] = 10
    processes.settle()
    processes.settle()  # all ten are granted
    processes.work = {"a": 0, "b": 11}
    processes.until_over()
    assert processes.sent == {"a": 0, "b": 10}


def test_what_a_lost_process_may_have_sent_counts_as_sent() -> None:
    processes = Processes("a", "b", max_requests=30)
    processes.work = {"a": 4, "b": 100}
    processes.settle("a")
    processes.settle("a")
    processes.send("a")  # and nobody hears of it
    processes.lose("a")
    processes.until_over()
    assert sum(processes.sent.values()) == 30


def test_the_slots_of_a_lost_process_are_free() -> None:
    processes = Processes("a", "b", max_in_flight=8)
    processes.work = {"a": 20, "b": 20}
    processes.settle()
    processes.settle()
    processes.send()
    processes.lose("a")
    processes.settle()
    processes.settle()
    processes.send()
    assert processes.sent["b"] == 8


def test_what_a_lost_process_reports_later_changes_nothing() -> None:
    processes = Processes("a", "b", max_in_flight=8, max_requests=30)
    processes.work = {"a": 20, "b": 100}
    processes.settle()
    processes.settle()
    sent = processes.send("a")["a"]
    processes.lose("a", reports_late=True)
    processes.settle()
    processes.settle()
    assert processes.send("b")["b"] == 8  # no slot is lost
    processes.answer("b", 8)
    processes.until_over()
    assert processes.sent["b"] == 30 - sent


def test_money_is_one_budget() -> None:
    processes = Processes("a", "b", max_usd=50.0)
    processes.work = {"a": 1, "b": 0}
    processes.settle()
    processes.settle()
    processes.send()
    processes.answer("a", 1, tokens=10)
    processes.work = {"a": 100, "b": 100}
    for _ in range(20):
        processes.settle()
        processes.send()
    assert sum(processes.sent.values()) == 5  # as one process would: the others are taken to cost as much
    processes.settle()
    assert {held.over for held in processes.held.values()} == {"max_usd=50 is reached: 10.0000 US dollars were spent"}


def test_rates_hold_over_all_processes() -> None:
    processes = Processes("a", "b", requests_per_minute=60)
    processes.work = {"a": 1000, "b": 1000}
    sent: list[tuple[float, int]] = []
    for tick in range(4 * 120):
        processes.now = tick / 4
        processes.settle()
        for name, count in processes.send().items():
            processes.answer(name, count)
            sent.append((processes.now, count))
    assert 115 <= sum(processes.sent.values()) <= 122  # two minutes
    for begin in range(60):
        assert sum(count for at, count in sent if begin <= at < begin + 60) <= 60


def test_without_limits_there_is_no_allowance_to_wait_for() -> None:
    processes = Processes("a")
    processes.work["a"] = 5000
    processes.settle()
    assert processes.send() == {"a": 5000}


SHARES = [
    (8, {"a": 0, "b": 0}, {"a": 4, "b": 4}),
    (8, {"a": 20, "b": 20}, {"a": 4, "b": 4}),
    (8, {"a": 20, "b": 1}, {"a": 7, "b": 1}),
    (8, {"a": 2, "b": 2}, {"a": 4, "b": 4}),
    (1, {"a": 5, "b": 5}, {"a": 0, "b": 1}),
    (5, {"a": 5}, {"a": 5}),
]


@pytest.mark.parametrize(("total", "needs", "shares"), SHARES)
def test_fair_shares(total: int, needs: dict[str, int], shares: dict[str, int]) -> None:
    assert fair_shares(total, needs) == shares
