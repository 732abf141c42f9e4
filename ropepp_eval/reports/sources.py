"""From the folders that a user names to runs: our own run folders, and result files that lm-eval itself wrote."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable
from pathlib import Path

from ropepp_eval.errors import UserError
from ropepp_eval.reports.lm_eval_runs import RESULTS_PATTERN, read_results_file
from ropepp_eval.reports.reading import Damage, RunFolder, read_run

_MADE_BY = "name a folder that `ropepp-eval run --out` or `ropepp-eval lm-eval --output_path` made"


def find_runs(dirs: Iterable[str | Path]) -> list[Path]:
    """Folders that hold a `run.json`, and lm-eval's `results_*.json` files: those given, or the ones inside them.

    Each once, in the order given, inside a folder by name.

    Raises:
        UserError: a folder is not there, or holds no run.
    """
    found: dict[Path, Path] = {}
    for given in map(Path, dirs):
        if not given.is_dir():
            raise UserError(f"results folder {given} is not there; {_MADE_BY}")
        inside = [given] if (given / "run.json").is_file() else _runs_inside(given)
        if not inside:
            raise UserError(f"results folder {given} holds no run.json and no {RESULTS_PATTERN} of lm-eval; {_MADE_BY}")
        found |= {path.resolve(): path for path in inside if path.resolve() not in found}
    if not found:
        raise UserError(f"no results folder was named; {_MADE_BY}")
    return list(found.values())


def _runs_inside(given: Path) -> list[Path]:
    """At any depth, links followed; what lies inside a run is the run's own."""
    found: list[Path] = []
    seen: set[str] = set()
    for name, folders, files in os.walk(given, followlinks=True):
        folder, real = Path(name), os.path.realpath(name)
        here = [] if real in seen else _runs_at(folder, files)
        if real in seen or here == [folder]:
            folders.clear()
        seen.add(real)
        found += here
    return sorted(found)


def _runs_at(folder: Path, files: Iterable[str]) -> list[Path]:
    if (folder / "run.json").is_file():
        return [folder]
    return [folder / name for name in fnmatch.filter(files, RESULTS_PATTERN) if (folder / name).is_file()]


def read_runs(dirs: Iterable[str | Path]) -> tuple[list[RunFolder], list[Damage]]:
    """Every run under `dirs` that can be read, and all damage met, in the order given.

    Raises:
        UserError: a folder holds no run, or no run at all could be read.
    """
    runs: list[RunFolder] = []
    damage: list[Damage] = []
    for path in find_runs(dirs):
        if path.is_dir():
            run, met = read_run(path)
            runs += [run] if run is not None else []
        else:
            found, met = read_results_file(path)
            runs += found
        damage += met
    if not runs:
        raise UserError(f"no run could be read: {damage[0]}; restore the file or run the evaluation again")
    return runs, damage
