"""Many layers searched: out of the cache where it knows them, the rest one by one or spread over processes."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from time import perf_counter
from typing import Any

from energysim.errors import EnergysimError, InputError
from energysim.hardware.accelerator import Accelerator, EnergyTable
from energysim.mapping.constraints import Restriction, check_restrictions
from energysim.mapping.dataflows import dataflow as named
from energysim.mapping.search import OBJECTIVES, Limits, SearchResult, check_budget, find_mapping
from energysim.mapping.search_cache import SearchCache, search_key
from energysim.workload.layer import Layer

LAYERS_PER_PROCESS = 8
"""Fewer searches than this do not pay for the start of a process (docs/decisions/parallel-and-cache.md)."""


def find_mappings(
    layers: Sequence[Layer],
    accelerator: Accelerator,
    table: EnergyTable,
    *,
    dataflow: str = "unconstrained",
    constraints: Sequence[Restriction] = (),
    objective: str = "energy",
    time_budget_s: float | None = None,
    cache: SearchCache | None = None,
    jobs: int = 1,
    uneven: bool = False,
) -> Generator[SearchResult, None, None]:
    """`find_mapping` of each layer, in order, the same whatever `jobs` (processes at most) and `cache` are.

    `time_budget_s` (seconds) is for all of them: each search gets an equal part of what is left, and what it cuts short
    is not kept in the cache. Raises what `find_mapping` raises for the first layer that has no mapping, InputError for
    `jobs` below 1.
    """
    check_jobs(jobs)
    check_budget(time_budget_s)
    until = None if time_budget_s is None else perf_counter() + time_budget_s
    asked = named(dataflow, constraints)
    check_restrictions(constraints, accelerator)
    search = partial(
        find_mapping,
        accelerator=accelerator,
        table=table,
        dataflow=dataflow,
        constraints=asked.restrictions,
        objective=objective,
        uneven=uneven,
    )
    known: list[SearchResult | None] = [None] * len(layers)
    keys: list[str] = []
    if cache and objective in OBJECTIVES:
        keys = [search_key(layer, accelerator, table, asked, objective, Limits(), uneven) for layer in layers]
        known = [
            cache.read(key, layer, accelerator, table, asked, objective, uneven)
            for key, layer in zip(keys, layers, strict=True)
        ]
    left = [layer for layer, result in zip(layers, known, strict=True) if result is None]
    processes = min(jobs, len(left) // LAYERS_PER_PROCESS)
    every = _spread(search, left, processes, until) if processes > 1 else _one_by_one(search, left, until)
    with closing(every) as searched:
        for i, result in enumerate(known):
            found = next(searched) if result is None else result
            if cache and keys and result is None and not found.cut_short:
                cache.write(keys[i], found)
            yield found


Search = partial[Any]
"""What is asked of each layer, with the seconds it may take, and gives an answer that can be sent between processes."""


def check_jobs(jobs: int) -> None:
    """Raise InputError for a number of processes that is none."""
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1:
        raise InputError(f"jobs is {jobs}; it must be an integer of at least 1")


def spread_over(search: Search, layers: Sequence[Layer], jobs: int) -> Generator[Any, None, None]:
    """Answers in the order of the layers, of so many processes at most; errors as in `find_mappings`."""
    check_jobs(jobs)
    processes = min(jobs, len(layers))
    return _spread(search, layers, processes, None) if processes > 1 else _one_by_one(search, layers, None)


def _share(until: float | None, left: int, processes: int = 1) -> float | None:
    """Seconds for one of the searches left, when they share the time until then."""
    return None if until is None else max(until - perf_counter(), 1e-9) * min(processes, left) / left


def _one_by_one(search: Search, layers: Sequence[Layer], until: float | None) -> Generator[Any, None, None]:
    for i, layer in enumerate(layers):
        yield search(layer, time_budget_s=_share(until, len(layers) - i))


def _spread(search: Search, layers: Sequence[Layer], processes: int, until: float | None) -> Generator[Any, None, None]:
    """Results in the order of the layers; each process gets its next layer when it has answered."""
    from multiprocessing import get_context
    from multiprocessing.connection import wait

    context = get_context("spawn")
    workers, pipes = [], dict[Any, int]()
    answers: dict[int, Any] = {}
    waiting = iter(range(len(layers)))
    try:
        for _ in range(processes):
            ours, theirs = context.Pipe()
            with _interrupt_later():
                workers.append(context.Process(target=_serve, args=(theirs, search), daemon=True))
                workers[-1].start()
            theirs.close()
            pipes[ours] = next(waiting)
            ours.send((layers[pipes[ours]], _share(until, len(layers), processes)))
        for i in range(len(layers)):
            while i not in answers:
                ready: list[Any] = wait(list(pipes))
                for pipe in ready:
                    answers[pipes.pop(pipe)] = pipe.recv()
                    if (following := next(waiting, None)) is not None:
                        pipes[pipe] = following
                        pipe.send((layers[following], _share(until, len(layers) - following, processes)))
            answer = answers.pop(i)
            if isinstance(answer, EnergysimError):
                raise answer
            yield answer
    except (EOFError, ConnectionError) as error:
        reason = "a process of the search ended before its answer (out of memory, or a script without a main guard)"
        raise EnergysimError(f"{reason}; try one job") from error
    finally:
        for worker in workers:
            if worker.pid is not None:
                worker.terminate()
                worker.join()


def _serve(pipe: Any, search: Search) -> None:
    """Search what comes through a pipe until its other end is closed."""
    while True:
        try:
            layer, share = pipe.recv()
        except (EOFError, ConnectionError):
            return
        try:
            answer: Any = search(layer, time_budget_s=share)
        except EnergysimError as error:
            answer = error
        pipe.send(answer)


@contextmanager
def _interrupt_later() -> Iterator[None]:
    """Ctrl-C waits; a process started meanwhile never sees it: it is ended by ours, without a traceback of its own."""
    import signal

    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    # it starts with the first process, and lets Ctrl-C through again when it does: so it starts before that
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
