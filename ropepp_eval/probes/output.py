"""What a probe leaves beside its rows: the numbers of its picture as CSV and JSON, the picture as PNG and SVG; and the paper's figures."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ropepp_eval.errors import UserError
from ropepp_eval.files import write_atomically
from ropepp_eval.probes.base import Probe, Record
from ropepp_eval.probes.kinds import KINDS, probe_class
from ropepp_eval.reports.cells import read_cells
from ropepp_eval.reports.sources import find_runs

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

PAPER_FIGURES = {"1": ("curves",), "3": ("coverage",), "4": ("cost",), "5": ("attention", "noise"), "6": ("extrapolation",)}
"""Figures of the paper and the kinds that each is drawn from."""


def write_output(probe: Probe, records: Sequence[Record], out: Path) -> list[Path]:
    """Write numbers and pictures of the records that did not fail; gives the files.

    Raises:
        UserError: every row failed.
    """
    from ropepp_eval.reports.style import save

    frame, numbers = frame_and_numbers(probe, records)
    written = [write_numbers(numbers, out / f"{probe.kind}.{form}") for form in ("csv", "json")]
    for name, figure in pictures_of(probe, frame, numbers, records).items():
        written += save(figure, out, name)
    return written


def frame_and_numbers(probe: Probe, records: Sequence[Record]) -> tuple[pandas.DataFrame, pandas.DataFrame]:
    """Frame and numbers of the records that did not fail. Raises UserError where all did."""
    good = [record for record in records if record["error"] is None]
    if not good:
        reason = records[0]["error"]["message"] if records else "nothing was measured"
        raise UserError(f"{probe.kind}: no row came out: {reason}")
    frame = probe.frame(good)
    return frame, probe.numbers(frame)


def pictures_of(
    probe: Probe, frame: pandas.DataFrame, numbers: pandas.DataFrame, records: Sequence[Record]
) -> dict[str, Figure]:
    """The kind's pictures by name."""
    from ropepp_eval.probes.pictures import attention, cost, coverage, curves, extrapolation, noise

    if probe.kind == "attention":
        return attention.picture(numbers, [record for record in records if record["error"] is None])
    if probe.kind == "coverage" and numbers["role"].isna().all():
        return {}
    drawn = {
        "curves": curves.picture, "coverage": coverage.picture, "cost": cost.picture, "noise": noise.picture, "ablation": noise.ablation_picture,
        "extrapolation": extrapolation.picture,
    }  # fmt: skip
    return drawn[probe.kind](numbers)


def write_numbers(numbers: pandas.DataFrame, path: Path) -> Path:
    """A table as CSV, or as a JSON list of lines; six significant digits, what is missing empty, infinity as a word."""
    lines = [{name: _plain(value) for name, value in line.items()} for line in numbers.to_dict(orient="records")]
    if path.suffix == ".json":
        content = "[\n" + ",\n".join(json.dumps(line, ensure_ascii=False) for line in lines) + "\n]\n"
    else:
        import csv

        from ropepp_eval.reports.formats import csv_text

        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(numbers.columns)
        writer.writerows(
            [
                ["" if value is None else csv_text(value) if isinstance(value, str) else value for value in line.values()]
                for line in lines
            ]
        )
        content = buffer.getvalue()
    write_atomically(path, content.encode("utf-8", "surrogatepass"))
    return path


def _plain(value: Any) -> Any:
    if isinstance(value, str) or value is None:
        return value
    number = float(value)
    if math.isnan(number):
        return None
    if math.isinf(number):
        return "never" if number > 0 else "-inf"
    return int(number) if number.is_integer() and abs(number) < 1e15 else float(f"{number:.6g}")


def read_probe(folder: Path, kind: str) -> tuple[Probe, list[dict[str, Any]]]:
    """The records that a folder holds of a kind: `DIR/KIND`, or the folder itself.

    Raises:
        UserError: it holds none.
    """
    probe = probe_class(kind)()
    runs = find_runs([folder / kind if (folder / kind).is_dir() else folder])
    records = [dict(row) for cell in read_cells(*runs).cells if cell.name.benchmark == kind for row in cell.rows]
    if not records:
        raise UserError(
            f"{folder} holds no rows of the probe {kind}; run `ropepp-eval probe {kind} CHECKPOINT --out {folder}`"
        )
    return probe, records


def paper_figures(folder: Path, which: str) -> Mapping[str, Figure]:
    """Figure `which` of the paper from the probes of a folder.

    Raises:
        UserError: a kind that it needs is not there.
    """
    from ropepp_eval.probes.pictures import cost, coverage, curves, extrapolation
    from ropepp_eval.probes.pictures.figure5 import figure5

    found = {}
    for kind in PAPER_FIGURES[which]:
        if not (folder / kind / "run.json").is_file():
            have = [name for name in KINDS if (folder / name / "run.json").is_file()]
            raise UserError(
                f"figure {which} needs the probe {kind}, and {folder} holds {', '.join(have) or 'none'}; run "
                f"`ropepp-eval probe {kind} CHECKPOINT --out {folder}` first"
            )
        probe, records = read_probe(folder, kind)
        found[kind] = (*frame_and_numbers(probe, records), [record for record in records if record["error"] is None])
    frame, numbers, records = found[PAPER_FIGURES[which][0]]
    if which == "5":
        return figure5(records, found["noise"][1])
    if which == "3":
        return coverage.paper(frame[frame["role"].notna()] if "role" in frame else frame)
    return {"1": curves.paper, "4": cost.paper, "6": extrapolation.paper}[which](numbers)
