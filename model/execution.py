"""How work is spread and how it talks back: executors, progress, cancelling."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

CONNECT_SECONDS = 15

T = TypeVar("T")
R = TypeVar("R")


class Cancelled(Exception):
    """Raised by a watch to stop the work at the next step; what was finished is kept."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One word of a long task to whoever watches it.

    `stage` names the task, `done` of `total` are its units (crystals, unless `unit` says otherwise), `payload`
    carries what has just been finished or a preview of what is under way.
    """

    stage: str
    done: int
    total: int
    unit: str = "crystals"
    payload: Any = None


Watch = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Watch nothing."""


class Inline(Executor):
    """Works on the spot: the standard executor interface without threads or processes."""

    def submit(self, fn: Callable[..., R], /, *args: Any, **kwargs: Any) -> "Future[R]":
        """Run now; an exception is kept in the future as usual."""
        future: Future[R] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - the standard contract: whatever it was goes into the future
            future.set_exception(error)
        return future

    def map(self, fn: Callable[..., R], *iterables: Iterable[Any], **_: Any) -> "Iterator[R]":
        """Each result as it is asked for, so that whoever watches sees them come."""
        return map(fn, *iterables)


INLINE = Inline()


def spread(
    work: Callable[[T], R],
    items: Iterable[T],
    *,
    stage: str,
    executor: Executor = INLINE,
    watch: Watch = silent,
) -> Iterator[R]:
    """Do `work` on every item on any executor, results in the items' order, telling `watch` of each."""
    items = list(items)
    for done, result in enumerate(executor.map(work, items), start=1):
        watch(Progress(stage=stage, done=done, total=len(items)))
        yield result


def processes(workers: int) -> Executor:
    """An executor of so many processes with one thread each; `INLINE` for one. Use it in a `with` statement.

    They start afresh: a process copied while torch computes on several threads would wait for them for ever.
    """
    if workers <= 1:
        return INLINE
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread)


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@contextmanager
def executor_of(workers: int = 1, dask: str | None = None) -> Iterator[Executor]:
    """Where work is spread: over so many processes of this machine, or over the workers of a Dask cluster.

    `dask` is the address of a scheduler (tcp://host:8786), whose workers must have this package installed and compute
    on one thread each from then on. Raises ImportError where Dask is not installed, OSError where none answers.
    """
    if dask is None:
        with processes(workers) as executor:
            yield executor
        return
    if workers != 1:
        raise ValueError(f"A Dask cluster brings its own workers; drop the {workers} processes or the cluster.")
    try:
        from dask.distributed import Client
    except ImportError as error:
        raise ImportError(
            "Spreading work with Dask needs dask: pip install 'mattergen-design-workbench[dask]'."
        ) from error
    try:
        client = Client(dask, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise OSError(f"No Dask scheduler answers at {dask!r}; start one, or name its tcp://host:port.") from error
    with client:
        client.run(_one_thread)
        with client.get_executor() as executor:
            yield executor
