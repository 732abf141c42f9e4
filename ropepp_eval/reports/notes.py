"""What stands below a table, so that no reader is misled."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ropepp_eval.reports.cells import Cell, Cells, scores_of
from ropepp_eval.reports.lm_eval_results import BENCHMARK as LM_EVAL
from ropepp_eval.reports.measures import why_none_common
from ropepp_eval.reports.naming import checkpoint_labels, counted, natural

COUNT_WORDS = {
    "rows": "n after a value: how many rows (questions) it is made of",
    "failed": "failed: rows without a score, since the run met an error there; they are left out of the value",
    "cut": "cut: rows whose prompt was shortened to fit",
    "fill": "fill: how much of the context prompt and room for the answer take, on average",
}


def count_notes(counts: Iterable[str]) -> tuple[str, ...]:
    """What the counts after each value mean."""
    return tuple(COUNT_WORDS[name] for name in COUNT_WORDS if name in counts)


def table_notes(cells: Cells, columns: Iterable[str]) -> tuple[str, ...]:
    """What a reader must know: what columns mean, stand-in text, unfinished cells, failures, what checkpoints say of
    themselves (such as random weights), damage."""
    words = {
        "average": "average: the mean of the columns before it, empty where one of them is",
        "n": "n: how many rows (questions with a score) stand behind the line",
    }
    shown = [text for name, text in words.items() if name in columns]
    notes = ["; ".join(shown)] if shown else []
    failed = sum(cell.failed for cell in cells.cells)
    cut = sum(cell.rows.cut for cell in cells.cells)
    unfinished = sum(cell.planned is not None and len(cell.rows) < cell.planned for cell in cells.cells)
    if failed:
        notes.append(f"{counted(failed, 'failed row')} left out of every value (no score, since the run met an error there)")
    not_finite = sum(scores_of(cell, cell.primary)[2] for cell in cells.cells)
    if not_finite:
        notes.append(f"{counted(not_finite, 'row')} whose score is not finite left out, counted as failed")
    if cut:
        notes.append(f"{counted(cut, 'row')} whose prompt was cut")
    if unfinished:
        notes.append(f"{unfinished} of {counted(len(cells.cells), 'cell')} with fewer rows than planned")
    notes.extend(_mixed(cells))
    scorers = sorted({cell.name.task for cell in cells.cells if _scored_by_several(cell)}, key=natural)
    if scorers:
        notes.append(
            f"rows of one cell scored by several versions of their scorer, `ropepp-eval rescore` makes them one: {', '.join(scorers)}"
        )
    notes.extend(
        f"not the same rows for all checkpoints, so not a like-for-like comparison: {why}" for why in _unequal(cells)
    )
    stand_ins = sorted({cell.name.task for cell in cells.cells if cell.rows.stand_in}, key=natural)
    if stand_ins:
        notes.append(f"rows made from generated text in place of a real corpus: {', '.join(stand_ins)}")
    notes.extend(_harness_notes(cells))
    said: dict[str, list[str]] = {}
    for known, label in checkpoint_labels(cells.cells).items():
        if note := cells.checkpoints.get(known, {}).get("note"):
            said.setdefault(str(note), []).append(label)
    notes.extend(f"{', '.join(names)}: {note}" for note, names in said.items())
    notes.extend(f"damaged, left out: {one}" for one in cells.damage)
    return tuple(notes)


def _mixed(cells: Cells) -> list[str]:
    """Which cells were put together from runs that computed differently, one line a difference."""
    found: dict[tuple[str, tuple[str, ...]], list[Cell]] = {}
    for cell in cells.cells:
        if cell.mixed:
            found.setdefault((cell.mixed, cell.folders), []).append(cell)
    return [
        f"put together from runs that computed differently ({mixed}; folders {' and '.join(folders)}): {members[0].name}"
        + (f", and {counted(len(members) - 1, 'other cell')}" if len(members) > 1 else "")
        for (mixed, folders), members in found.items()
    ]


def _scored_by_several(cell: Cell) -> bool:
    return len(cell.rows.values("scorer_sha256", scored=True)) > 1


def _unequal(cells: Cells) -> list[str]:
    """Why checkpoints that stand together answered other rows: seeds, tokenizers or data, each difference once."""
    first: dict[tuple[str, int, str], Cell] = {}
    reasons: dict[str, None] = {}
    for cell in cells.cells:
        if cell.rows:
            one = first.setdefault((cell.name.task, cell.name.length_tokens, cell.name.protocol), cell)
            if not np.intersect1d(one.rows.hashes, cell.rows.hashes).size:
                reasons[why_none_common(one, cell)] = None
    return list(reasons)


def _harness_notes(cells: Cells) -> list[str]:
    """Which tasks lm-eval itself evaluated, and which of them came without their rows."""
    notes = []
    for harness in sorted({str(cell.settings["harness"]) for cell in cells.cells if "harness" in cell.settings}):
        theirs = [cell for cell in cells.cells if cell.settings.get("harness") == harness]
        own = ", ".join(sorted({cell.name.task for cell in theirs if cell.name.benchmark == LM_EVAL}, key=natural))
        notes += (
            [f"from files of {harness}, by its own definitions (the paper's numbers are OpenCompass's): {own}"]
            if own
            else []
        )
        alone = sorted({cell.name.task for cell in theirs if not cell.rows}, key=natural)
        if alone:
            notes.append(f"without rows, so not tested (lm-eval keeps them with --log_samples): {', '.join(alone)}")
    return notes
