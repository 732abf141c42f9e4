"""What a forecast comes to on workers: the schedule that Ray's workers would follow, played through."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from ropepp_eval.cluster.simulation import CellCost, simulate
from ropepp_eval.errors import UserError
from ropepp_eval.words import lasting

if TYPE_CHECKING:
    from ropepp_eval.runs.dry_run import Forecast

LOAD_BYTES_A_SECOND = 1e9
"""At which a worker is taken to read weights."""
WIDTH = 80


def schedule_lines(forecast: Forecast, workers: int | None) -> list[str]:
    """How long the forecast's rows would take on so many workers, each like the device of the forecast.

    Raises:
        UserError: it was not said how many.
    """
    if workers is None:
        raise UserError("--dry-run --on ray plays a schedule through; say for how many workers with --workers N")
    cells, loads = [], {}
    for label, found in forecast.checkpoints.items():
        info = found.cells[0].cell.checkpoint.info
        loads[label] = info.parameters * (4 if found.cells[0].engine.dtype == "float32" else 2) / LOAD_BYTES_A_SECOND
        cells += [CellCost(label, cell.spread(found.seconds_of(cell))) for cell in found.cells]
    if not cells:
        return []
    schedule = simulate(cells, workers, loads)
    said = (
        f"on {workers} workers like it: {lasting(schedule.makespan_seconds)} from the first load to the last row, "
        f"{schedule.utilisation:.0%} of their time in rows, {schedule.loads} loads of weights at 1 GB/s, "
        f"{schedule.gpu_hours:.2f} device hours; the last worker ends {schedule.last_over_mean:.1%} after the mean"
    )
    return textwrap.wrap(said, WIDTH, subsequent_indent="  ")
