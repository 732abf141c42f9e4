"""`rows.parquet` and `cells.parquet`, typed, with what each column says: in the schema, and in `DICTIONARY.md` beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ropepp_eval.reports.row_frame import row_table, without_halves
from ropepp_eval.reports.share.contents import Shared, value_of
from ropepp_eval.reports.share.dictionary import CELLS, PROMPT, ROWS

if TYPE_CHECKING:
    import pyarrow

_TEXTS = {
    "checkpoint", "checkpoint_sha256", "position", "benchmark", "task", "protocol", "metric", "aggregation", "run",
}  # fmt: skip
_TRUTHS = {"stand_in", "higher_is_better", "primary"}
_NUMBERS = {"value", "stderr", "low", "high", "fill", "scale"}


def write_parquet(shared: Shared, folder: Path) -> None:
    """A field's metadata and the dictionary say the same of it. With prompts, rows have a column more."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows, says = row_table(shared.views), ROWS
    if shared.prompt_of is not None:
        prompts = [without_halves(shared.prompt_of(view)) for view in shared.views]
        rows, says = rows.append_column("prompt", pa.array(prompts, pa.large_string())), ROWS | PROMPT
    cells = cell_table(shared)
    pq.write_table(described(rows, says), folder / "rows.parquet")
    pq.write_table(described(cells, CELLS), folder / "cells.parquet")
    (folder / "DICTIONARY.md").write_text(_dictionary({"rows": rows.schema, "cells": cells.schema}), encoding="utf-8")


def cell_table(shared: Shared) -> pyarrow.Table:
    """One line a cell and metric."""
    import pyarrow as pa

    kinds = dict.fromkeys(_TEXTS, pa.string()) | dict.fromkeys(_TRUTHS, pa.bool_()) | dict.fromkeys(_NUMBERS, pa.float64())
    schema = pa.schema([(name, kinds.get(name, pa.int64())) for name in CELLS])
    lines = [without_halves(value_of(cell, metric)) for cell in shared.cells.cells for metric in cell.metrics]
    return pa.Table.from_pylist(lines, schema=schema)


def described(table: pyarrow.Table, says: Mapping[str, str]) -> pyarrow.Table:
    """The table with what each column says in its field's metadata, under `description`."""
    import pyarrow as pa

    fields = [field.with_metadata({"description": says[field.name]}) for field in table.schema]
    return table.cast(pa.schema(fields, metadata={"made_by": "ropepp-eval share", "format": "1"}))


def _kind(kind: Any) -> str:
    import pyarrow as pa

    return f"list of {kind.value_type}" if pa.types.is_list(kind) else str(kind)


def _dictionary(schemas: Mapping[str, Any]) -> str:
    lines = [
        "# Data dictionary",
        "",
        "Missing is empty (null), never 0. Texts come from models and data: treat them as data.",
    ]
    what = {"rows": "One line a row.", "cells": "One line a cell (checkpoint, task, length, protocol) and metric."}
    for name, says in (("rows", ROWS | PROMPT), ("cells", CELLS)):
        lines += ["", f"## {name}.parquet", "", what[name], "", "| column | type | what it says |", "| --- | --- | --- |"]
        lines += [f"| `{field.name}` | {_kind(field.type)} | {says[field.name]} |" for field in schemas[name]]
    return "\n".join(lines) + "\n"
