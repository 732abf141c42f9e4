"""Rows as a pandas frame for people and pages: question, references, answer, score, depth and the ledger of tokens, one line a row."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ropepp_eval.reports.formats import csv_text
from ropepp_eval.reports.row_views import RowView

if TYPE_CHECKING:
    import pandas
    import pyarrow

LISTS = ("references", "depths")
WHOLE_NUMBERS = ("number", "length_tokens", "row", "prompt_tokens", "new_tokens", "budget", "seed")
NUMBERS, TRUTHS = ("score", "seconds"), ("cut", "stand_in")
COLUMNS = (
    "number", "checkpoint", "checkpoint_sha256", "position", "benchmark", "task", "length_tokens", "protocol", "row", "outcome",
    "metric", "score", "scores", "question", *LISTS, "answer", "finish", "cut", "failure", "prompt_tokens", "new_tokens", "budget",
    "seconds", "stand_in", "cluster", "seed", "row_sha256", "prompt_sha256", "scorer_sha256", "run",
)  # fmt: skip


def row_frame(views: Iterable[RowView]) -> pandas.DataFrame:
    """One line a row, in the order given.

    Columns: number (see `RowView.number`); checkpoint to row name the row; outcome (one of `row_views.OUTCOMES`); metric and score
    (the row's own value, unscaled, None where it has none), scores (all metrics as JSON, None where it failed); question (None where
    the line does not hold it), references (list of texts), depths (list, 0-100 %), answer; finish (`stop`, `length`, `eos`, `scored`),
    cut (whether the prompt was), failure (stage, type and message, or None); prompt_tokens, new_tokens, budget (the ledger); seconds;
    stand_in, cluster, seed; the hashes of row, prompt and scorer; run.
    """
    import pandas

    frame = pandas.DataFrame([line_of(view) for view in views], columns=list(COLUMNS), dtype=object)  # half characters stay
    kinds = dict.fromkeys(WHOLE_NUMBERS, "Int64") | dict.fromkeys(NUMBERS, "float64") | dict.fromkeys(TRUTHS, "bool")
    return frame.astype(kinds)


def line_of(view: RowView) -> dict[str, Any]:
    """The frame's line of one row."""
    record = view.record
    kept = ("finish", "prompt_tokens", "new_tokens", "budget", "seconds", "cluster", "seed", "row_sha256", "prompt_sha256")
    scores = record.get("scores")
    return {
        "number": view.number,
        **view.cell.name._asdict(),
        "row": record["row"],
        "outcome": view.outcome,
        "metric": view.metric,
        "score": view.score,
        "scores": None if scores is None else json.dumps(finite(scores), ensure_ascii=False),
        "question": view.question,
        "references": view.references,
        "depths": view.depths,
        "answer": view.answer,
        "cut": bool(record.get("cut")),
        "failure": view.failure,
        "stand_in": bool(record.get("stand_in")),
        **{name: record.get(name) for name in kept},
        "scorer_sha256": record.get("scorer_sha256"),
        "run": "+".join(view.cell.runs),
    }


def finite(value: Any) -> Any:
    """Scores with None in place of NaN and infinity, which lm-eval's files may hold and JSON may not."""
    if isinstance(value, dict):
        return {name: finite(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_json(views: Iterable[RowView]) -> bytes:
    """The lines as one JSON object, `{"format": 1, "rows": [...]}`; `scores` are an object there."""
    lines = [{**line_of(view), "scores": finite(view.record.get("scores"))} for view in views]
    return (json.dumps({"format": 1, "rows": lines}, ensure_ascii=False, indent=1, allow_nan=False) + "\n").encode(
        "utf-8", "backslashreplace"
    )


def as_csv(views: Iterable[RowView]) -> bytes:
    """The lines as CSV: lists as JSON, texts that begin like a formula with an apostrophe."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for view in views:
        line = line_of(view)
        line |= {name: json.dumps(line[name], ensure_ascii=False) for name in LISTS}
        writer.writerow({name: csv_text(value) if isinstance(value, str) else value for name, value in line.items()})
    return out.getvalue().encode("utf-8", "backslashreplace")


def row_table(views: Iterable[RowView]) -> pyarrow.Table:
    """The lines as an Arrow table, with the same types whatever is in them."""
    import pyarrow as pa

    kinds = {"references": pa.list_(pa.string()), "depths": pa.list_(pa.float64())}
    kinds |= dict.fromkeys(WHOLE_NUMBERS, pa.int64())
    kinds |= dict.fromkeys(NUMBERS, pa.float64()) | dict.fromkeys(TRUTHS, pa.bool_())
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in COLUMNS])
    return pa.Table.from_pylist([without_halves(line_of(view)) for view in views], schema=schema)


def as_parquet(views: Iterable[RowView]) -> bytes:
    """The lines as a Parquet file; half characters of answers are written as escapes."""
    import pyarrow.parquet as pq

    content = io.BytesIO()
    pq.write_table(row_table(views), content)
    return content.getvalue()


def without_halves(value: Any) -> Any:
    """Texts, lists and objects of texts with half characters, which UTF-8 can't hold, as escapes."""
    if isinstance(value, dict):
        return {without_halves(name): without_halves(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_halves(one) for one in value]
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


FILE_FORMATS = {"json": as_json, "csv": as_csv, "parquet": as_parquet}
