"""`@lazy_task`, for Prefect's `@task`: modules with tasks can be imported without Prefect, which takes a second.

A command uses their plain functions before it imports Prefect: for its checks, and for its first requests.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from regioncap.run.prefect_import import import_prefect

if TYPE_CHECKING:
    from prefect import Task

P = ParamSpec("P")
R = TypeVar("R")


class LazyTask(Generic[P, R]):
    """The task of a plain function, `fn`: made when it is first called, submitted or looked at.

    Nothing of it is cached by Prefect, which RegionCap's own steps do.
    """

    def __init__(self, function: Callable[P, R], name: str, task_run_name: str) -> None:
        self.fn = function
        self.name = name
        self._task_run_name = task_run_name
        functools.update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call it as a task run of the flow, or task, that this is called in."""
        return self.task(*args, **kwargs)

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Prefect's future of a call by the flow's task runner."""
        return self.task.submit(*args, **kwargs)

    @functools.cached_property
    def task(self) -> Task[P, R]:
        """What Prefect knows."""
        import_prefect()
        from prefect import task
        from prefect.cache_policies import NO_CACHE

        return task(name=self.name, task_run_name=self._task_run_name, cache_policy=NO_CACHE)(self.fn)


def lazy_task(name: str, task_run_name: str) -> Callable[[Callable[P, R]], LazyTask[P, R]]:
    """A function's task, with Prefect's names for it and for its runs."""
    return lambda function: LazyTask(function, name, task_run_name)
