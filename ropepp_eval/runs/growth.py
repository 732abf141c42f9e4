"""A run folder grows: more rows, lengths, tasks and checkpoints come into it, and nothing that would change the answers in it.

`identity` in `run.json` holds, for each checkpoint, all that decides its answers; of a folder that grew, the sum of its runs.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert
from ropepp_eval.lengths import format_length
from ropepp_eval.manifests import parse_manifest, stretches_of
from ropepp_eval.outside import shown
from ropepp_eval.runs.shards import is_shard_folder

OTHER = "choose another --out"
_IN_WORDS = {
    "engine": "backend",
    "cut_at_tokens": "length at which prompts are cut",
    "engine_version": "release of the engine",
}
_HASHES = {
    "checkpoint": "the files of the checkpoint are not what they were",
    "tokenizer": "the tokenizer is another one",
    "position_code": "the code of the position embedding is not what it was",
}
"""Fields of which only a hash is known: two hashes say nothing to a reader."""
_UNIONS = ("tasks", "checkpoints", "tokenizers", "sources", "ran", "events")
_NAME = ("checkpoint", "checkpoint_sha256", "position", "task", "length_tokens", "protocol")


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """`run.json` of a run folder, or None where there is none.

    Raises:
        UserError: it can't be read.
    """
    path = folder / "run.json"
    if not path.exists():
        return None
    manifest, reason = parse_manifest(path.read_bytes())
    if manifest is None or "identity" not in manifest:
        raise UserError(
            f"{path} can't be read as a run ({reason or 'no `identity`'}); choose another --out or restore the file"
        )
    return manifest


def open_to_runs(folder: Path) -> dict[str, Any] | None:
    """The manifest of a folder that a run may write into; None where the folder is new or empty.

    Raises:
        UserError: it is a file, holds something else, can't be made here, or its `run.json` can't be read.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"output {folder} is a file; name a folder with --out")
    manifest = read_manifest(folder)
    if manifest is not None:
        return manifest
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    strangers = [name for name in names if name not in (".lock", "rows") and not name.startswith(".run.json.")]
    strangers = [name for name in strangers if not is_shard_folder(name)]
    if strangers:  # `.run.json.` is left by a crash while writing run.json
        raise UserError(
            f"output folder {folder} holds other files ({', '.join(strangers)}); name an empty or new one with --out"
        )
    there = next(path for path in (folder, *folder.resolve().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise UserError(
            f"output folder {folder} can't be made: {there} can't be written to; choose another folder with --out"
        )
    return None


def refuse_changes(folder: Path, earlier: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    """Raise UserError where a run of this identity would answer otherwise what the folder holds answers to."""
    changes = list(_changes(earlier, identity))
    if changes:
        raise UserError(f"output folder {folder} belongs to another run ({'; '.join(changes)}); {OTHER}")


def _changes(earlier: Mapping[str, Any], identity: Mapping[str, Any]) -> Iterator[str]:
    theirs: Mapping[str, Any] = earlier["identity"]
    if "seed" in theirs and theirs["seed"] != identity["seed"]:
        yield f"seed was {shown(theirs['seed'])}, is {shown(identity['seed'])}"
    found: dict[str, list[str]] = {}
    for label, now in identity["checkpoints"].items():
        was = theirs.get("checkpoints", {}).get(label)
        for change in differences(was, now) if isinstance(was, dict) else ():
            found.setdefault(change, []).append(label)
    for change, labels in found.items():
        everyone = len(labels) == len(theirs["checkpoints"]) == 1
        yield change if everyone else f"{change} ({', '.join(map(inert, labels))})"
    yield from differences(theirs.get("probe"), identity.get("probe"), "probe")
    folders = theirs.get("task_folders", {})
    for task, sha256 in identity.get("task_folders", {}).items():
        if folders.get(task, sha256) != sha256:
            yield f"the files of the folder of task {task} are not what they were"


def differences(was: Any, now: Any, name: str = "") -> Iterator[str]:
    """Every innermost field that is not equal, in words: `dtype was bfloat16, is float32`."""
    if isinstance(was, dict) and isinstance(now, dict):
        for field in dict.fromkeys([*now, *was]):
            yield from differences(was.get(field), now.get(field), field)
    elif was != now:
        yield _HASHES.get(name) or f"{_IN_WORDS.get(name, inert(name))} was {_value(was)}, is {_value(now)}"


def _value(value: Any) -> str:
    return "none" if value is None else inert(value) if isinstance(value, str) else shown(value)


def other_row(
    folder: Path, earlier: Mapping[str, Any], task: str, length_tokens: int, row: int, arguments: Mapping[str, Any]
) -> UserError:
    """The error for a row that asks something else than the answered row of its number did."""
    said: Mapping[str, Any] = earlier.get("arguments", {})
    why = [
        f"{name} was {_value(said.get(name))}, is {_value(arguments[name])}"
        for name in ("data_dir", "repeat_text", "offline")
        if name in said and said[name] != arguments[name]
    ]
    because = "; ".join(why) or "its corpus, or the code that builds it, is not what it was"
    return UserError(
        f"output folder {folder} belongs to another run (row {row} of {task} at {format_length(length_tokens)} asks something else "
        f"now: {because}); {OTHER}"
    )


def known_labels(manifest: Mapping[str, Any] | None) -> dict[str, tuple[str, str | None]]:
    """What the folder calls its checkpoints: for each label the checkpoint's hash and where it was."""
    if manifest is None:
        return {}
    computed: Mapping[str, Any] = manifest["identity"].get("checkpoints", {})
    return {
        label: (str(facts.get("checkpoint")), manifest.get("sources", {}).get(label))
        for label, facts in computed.items()
        if isinstance(facts, dict)
    }


def covers(earlier: Mapping[str, Any], cells: list[dict[str, Any]]) -> bool:
    """Whether the folder's plan has all of these cells, with as many rows."""
    theirs = {_cell_name(cell): cell.get("samples") or 0 for cell in earlier.get("cells", [])}
    return all(theirs.get(_cell_name(cell), -1) >= cell["samples"] for cell in cells)


def grown(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of a folder after one more run: what it holds now, and the run's own facts."""
    cells = {_cell_name(cell): dict(cell) for cell in earlier.get("cells", [])}
    for cell in now["cells"]:
        before = cells.get(_cell_name(cell), cell)
        now_there = {**cell, "samples": max(cell["samples"] or 0, before.get("samples") or 0)}
        if "rows" in cell and "rows" in before:  # a shard of a plan that grew has other rows
            both = (range(*stretch) for stretch in [*before["rows"], *cell["rows"]])
            now_there["rows"] = stretches_of(itertools.chain(*both))
        cells[_cell_name(cell)] = now_there
    theirs, ours = earlier["identity"], now["identity"]
    identity = {
        **ours,
        "checkpoints": {**theirs.get("checkpoints", {}), **ours["checkpoints"]},
        "task_folders": {**theirs.get("task_folders", {}), **ours.get("task_folders", {})},
    }
    history = earlier.get("history") or [_command(earlier)] * ("arguments" in earlier)
    if not history or history[-1]["arguments"] != now["arguments"]:
        history = [*history, *now["history"]]
    unions = {name: {**earlier.get(name, {}), **now.get(name, {})} for name in _UNIONS}
    kept = {name: earlier[name] for name in ("run_id", "created", "rescored") if name in earlier}
    return {**now, **unions, **kept, "identity": identity, "cells": list(cells.values()), "history": history}


def _command(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The entry of `history` for a manifest from before there was one."""
    return {name: manifest.get(name) for name in ("created", "arguments", "versions", "commit", "dirty", "data_sha256")}


def _cell_name(cell: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(cell[name] for name in _NAME)
