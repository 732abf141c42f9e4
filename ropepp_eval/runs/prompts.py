"""Prompts of stored rows, made again and proven by the rows' hashes; no run folder holds them."""

from __future__ import annotations

from pathlib import Path

from ropepp_eval.errors import UserError
from ropepp_eval.manifests import parse_manifest
from ropepp_eval.reports.row_views import RowView
from ropepp_eval.runs.stored_rows import RowMaker


class Prompts:
    """Makes prompts again; a tokenizer is loaded once, and a cell's rows are built at once.

    Args:
        tokenizer, data_dir: where these lie now; None: where the run found them.
    """

    def __init__(self, *, tokenizer: str | None = None, data_dir: str | None = None) -> None:
        self._tokenizer, self._data_dir = tokenizer, data_dir
        self._makers: dict[str, RowMaker] = {}

    def of(self, view: RowView, *, samples: int = 0) -> str:
        """The prompt of one row; where its cell has to be built, at least `samples` rows of it.

        Raises:
            UserError: it can't be made again, with the reason.
        """
        folder = view.cell.folder
        if folder not in self._makers:
            self._makers[folder] = self._maker(folder)
        return self._makers[folder].row(view.record, samples).prompt

    def of_all(self, view: RowView) -> str:
        """The prompt of a row where those of all rows of its cell are asked for.

        Raises:
            UserError: it can't be made again; the message names the row.
        """
        try:
            return self.of(view, samples=max(row["row"] for row in view.cell.rows) + 1)
        except UserError as error:
            name = view.cell.name
            raise UserError(
                f"--prompts: the prompt of row {view.record['row']} of {name} can't be made again: {error}"
            ) from error

    def _maker(self, folder: str) -> RowMaker:
        try:
            manifest, reason = parse_manifest(Path(folder, "run.json").read_bytes())
        except OSError as error:
            raise UserError("there is no run.json beside its line, as in files that lm-eval itself wrote") from error
        if manifest is None:
            raise UserError(f"run.json is {reason}")
        return RowMaker(manifest, tokenizer=self._tokenizer, data_dir=self._data_dir)
