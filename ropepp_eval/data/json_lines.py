"""JSON-lines corpora, with the file and line number in every complaint."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ropepp_eval.errors import UserError


def read_json_lines(path: Path, fields: Iterable[str]) -> list[dict[str, Any]]:
    """The records of a file, each with at least `fields`. Empty lines are skipped.

    Raises:
        UserError: a line is no JSON object or lacks a field (file and line number are named).
    """
    needed = tuple(fields)
    records = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                records.append(_record(line, needed, f"{path}:{number}"))
    return records


def _record(line: str, needed: tuple[str, ...], where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise UserError(f"{where} is no JSON ({error}); get the file anew") from error
    missing = [field for field in needed if not isinstance(record, dict) or field not in record]
    if missing:
        raise UserError(f"{where} has no field {missing[0]!r}; it needs {', '.join(needed)}")
    return dict(record)
