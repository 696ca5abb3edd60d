"""The problems of one search, the most promising first: choices of bypasses, and cases of constraints."""

from collections.abc import Iterator, Sequence
from time import perf_counter

import numpy as np

from energysim.mapping.search_bounds import Bounds
from energysim.mapping.search_join import Best, Level, levels
from energysim.mapping.search_problem import Problem

FEW = 16
"""Tables of so many problems are kept until their turn; those of more are dropped and made again."""

Prepared = tuple[Bounds, list[Level]]


def promising(problems: Sequence[Problem], most: int, best: Best) -> Iterator[Prepared]:
    """Problems with their tables (`most`: see `levels`) by root bound: a good mapping of the first ends the others.

    Of more than FEW, those that cannot win any more are left out. Bounding them takes at most half of the time there
    is; once there is a mapping, what has not been bounded stays open at the energy of the compute units alone.
    """
    if len(problems) <= FEW:
        yield from sorted((_prepared(problem, most) for problem in problems), key=_root)
        return
    # neighbours are alike: in steps of the golden ratio, what a time budget leaves unseen is like what was seen
    order = sorted(range(len(problems)), key=lambda n: n * 0.6180339887498949 % 1.0)
    leasts: list[tuple[float, int]] = []
    half = perf_counter() + (best.until - perf_counter()) / 2
    for n in order:
        if leasts and perf_counter() > half:
            break
        leasts.append((_least(_prepared(_anew(problems[n]), most)), n))
    for least, n in sorted(leasts):
        if least >= best.limit:
            break
        yield _prepared(_anew(problems[n]), most)
    for n in order[len(leasts) :]:
        if best.nest is not None:
            best.open_pj, best.cut_short = min(best.open_pj, problems[n].compute_pj), True
            break
        yield _prepared(_anew(problems[n]), most)


def _anew(problem: Problem) -> Problem:
    """The problem without the arrays that it has worked out."""
    parts = problem.layer, problem.accelerator, problem.table, problem.constraints, problem.bypass, problem.lattice
    return Problem(*parts)


def _prepared(problem: Problem, most: int) -> Prepared:
    bounds = Bounds(problem)
    return bounds, levels(bounds, most)


def _root(prepared: Prepared) -> float:
    """The least that any mapping of a problem can cost, as far as its tables reach."""
    bounds, tables = prepared
    return float(tables[-1].key.min(initial=np.inf)) + bounds.constant_pj


def _least(prepared: Prepared) -> float:
    """The least that any mapping of a problem can cost."""
    bounds, tables = prepared
    left = [t.left_pj + sum(inner.own_pj for inner in tables[i + 1 :]) for i, t in enumerate(tables)]
    return min(_root(prepared), min(left) + bounds.constant_pj)
