"""Of all that run folders hold, the part that was asked for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ropepp_eval.reports.cells import Cells

Asked = Mapping[tuple[Any, ...], Collection[int]]
"""Numbers of rows by (checkpoint's hash, position, task, length in tokens, protocol)."""


def only_asked(cells: Cells, asked: Asked) -> Cells:
    """`cells` without the cells and rows that nobody asked for."""
    kept = []
    for cell in cells.cells:
        name = cell.name
        numbers = asked.get((name.checkpoint_sha256, name.position, name.task, name.length_tokens, name.protocol))
        if numbers is not None:
            rows = cell.rows.take(np.flatnonzero(np.isin(cell.rows.numbers, np.array([*numbers], dtype=np.int64))))
            kept.append(replace(cell, rows=rows, planned=len(numbers)))
    return replace(cells, cells=tuple(kept))
