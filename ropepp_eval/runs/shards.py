"""A share of a run: `--shard 2/8` asks the second eighth of its rows, into a folder of its own beside the others.

The rows of the whole plan stand on a line in the plan's order, each as long as it costs, and the line is cut into equal parts. So a
shard has whole stretches of cells, of few checkpoints, and which rows these are follows from the plan alone.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ropepp_eval.errors import UserError
from ropepp_eval.forecasts.pace import row_proportion
from ropepp_eval.words import counted

if TYPE_CHECKING:
    from ropepp_eval.rows.row import Row
    from ropepp_eval.runs.plan import Cell, Plan

_FOLDER = re.compile(r"shard-(\d+)-of-(\d+)")


@dataclass(frozen=True)
class Shard:
    """Part `number` (from 1) of `of`."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """From `2/8`. Raises UserError for what is none."""
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip())
        if match and 1 <= int(match[1]) <= int(match[2]):
            return cls(int(match[1]), int(match[2]))
        raise UserError(f"shard {text!r} is none; give its number and how many there are, such as --shard 2/8")

    @property
    def folder_name(self) -> str:
        """Name of its folder in the run's folder; sorted by name, shards are in order."""
        return f"shard-{self.number:0{len(str(self.of))}}-of-{self.of}"

    def folder_in(self, out: Path) -> Path:
        """The shard's folder where the run goes to `out`; `out` itself where it is the shard's already."""
        return out if out.name == self.folder_name else out / self.folder_name


def is_shard_folder(name: str) -> bool:
    """Whether a folder in a run's folder is a shard's, by its name."""
    return _FOLDER.fullmatch(name) is not None


def shard_folders(folder: Path) -> list[Path]:
    """The shards' folders inside a run's folder, in order."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if is_shard_folder(path.name) and (path / "run.json").is_file())


def cost_of(cell: Cell, row: Row) -> float:
    """Relative time of a row, by its tokens and the checkpoint's size. A forecast would know more, but hangs on the device and on what is
    free there: machines that share a run must cut it alike."""
    return row_proportion(row.prompt_tokens, row.max_new_tokens) * cell.checkpoint.info.parameters


def share_of(plan: Plan, shard: Shard) -> Plan:
    """The plan with the shard's rows alone.

    Raises:
        UserError: there are so many shards that none is left for this one.
    """
    costs = [[cost_of(cell, row) for row in cell.rows] for cell in plan.cells]
    total = sum(map(sum, costs))
    cells, before = [], 0.0
    for cell, of_rows in zip(plan.cells, costs, strict=True):
        rows = []
        for row, cost in zip(cell.rows, of_rows, strict=True):
            if int((before + cost / 2) / total * shard.of) == shard.number - 1:
                rows.append(row)
            before += cost
        if rows:
            cells.append(dataclasses.replace(cell, rows=tuple(rows), planned=cell.planned_rows))
    if not cells:
        raise UserError(
            f"shard {shard.number}/{shard.of} has no row: the run's {counted(plan.rows, 'row')} are too few or too unequal for "
            f"{shard.of} shards; ask for fewer"
        )
    return dataclasses.replace(plan, cells=tuple(cells), whole_folder=plan.folder)
