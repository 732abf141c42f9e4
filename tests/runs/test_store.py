"""The run folder: every record durable, a cut line noticed, another run's folder refused."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ropepp_eval.errors import UserError
from ropepp_eval.processes import is_alive
from ropepp_eval.runs.store import RunStore, read_manifest
from tests.stored import record

CELL: Any = SimpleNamespace(file="tiny-0123/vt@2048.jsonl")


def manifest(**identity: Any) -> dict[str, Any]:
    whole = {"seed": 1, "checkpoints": {}, **identity}
    command = {"created": "t", "arguments": {"seed": whole["seed"]}}
    return {"format": 2, "run_id": "r", "tasks": {}, "cells": [], "identity": whole, **command, "history": [command]}


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    with RunStore.open(tmp_path / "run", manifest()) as store:
        store.append(CELL, record("a"))
        store.append(CELL, record("b"))
    with RunStore.open(tmp_path / "run", manifest()) as store:
        assert store.finished(CELL) == {"a": record("a"), "b": record("b")}


def test_the_writing_process_is_named_and_the_history_of_scores_is_kept(tmp_path: Path) -> None:
    with RunStore.open(tmp_path, manifest()) as store:
        store.write_manifest(rescored=[{"when": "t"}])
    (tmp_path / "run.json").write_text((tmp_path / "run.json").read_text().replace(f'"pid": {os.getpid()}', '"pid": 1'))
    with RunStore.open(tmp_path, manifest()):
        found = read_manifest(tmp_path) or {}
    assert is_alive(found["process"]) is True
    assert found["rescored"] == [{"when": "t"}]


@pytest.mark.parametrize("kept", [0, 1, 17, -1])
def test_a_line_cut_by_a_crash_costs_only_its_own_row(tmp_path: Path, kept: int) -> None:
    with RunStore.open(tmp_path, manifest()) as store:
        store.append(CELL, record("a"))
        store.append(CELL, record("b"))
        path = store.path_of(CELL)
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second[:kept])
    with RunStore.open(tmp_path, manifest()) as store:
        assert set(store.finished(CELL)) == {"a"}
        store.append(CELL, record("c"))
        assert set(store.finished(CELL)) == {"a", "c"}
    assert path.read_bytes().startswith(first)


def test_a_damaged_line_in_the_middle_is_dropped_and_redone(tmp_path: Path) -> None:
    with RunStore.open(tmp_path, manifest()) as store:
        for key in "abc":
            store.append(CELL, record(key))
        path = store.path_of(CELL)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\x00" * 40 + b"\n" + lines[2])
    with RunStore.open(tmp_path, manifest()) as store:
        assert set(store.finished(CELL)) == {"a", "c"}


def test_failed_rows_are_finished_unless_asked_again(tmp_path: Path) -> None:
    with RunStore.open(tmp_path, manifest()) as store:
        store.append(CELL, record("a", {"stage": "score", "type": "ValueError", "message": "no"}))
        assert set(store.finished(CELL)) == {"a"}
        assert store.finished(CELL, retry_failed=True) == {}


def test_another_runs_folder_is_refused_with_the_difference(tmp_path: Path) -> None:
    RunStore.open(tmp_path, manifest()).close()
    before = (tmp_path / "run.json").read_bytes()
    with pytest.raises(UserError, match=r"belongs to another run \(seed was 1, is 2\); choose another --out"):
        RunStore.open(tmp_path, manifest(seed=2))
    assert (tmp_path / "run.json").read_bytes() == before


def test_a_folder_of_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(UserError, match=r"holds other files \(thesis.tex\)"):
        RunStore.open(tmp_path, manifest())
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_crash_before_the_first_manifest_does_not_block_the_run(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    (tmp_path / ".run.json.abc.part").write_text("{")
    RunStore.open(tmp_path, manifest()).close()
    assert read_manifest(tmp_path) is not None


def test_two_processes_never_write_one_folder(tmp_path: Path) -> None:
    with RunStore.open(tmp_path, manifest()), pytest.raises(UserError, match="is being written by another process"):
        RunStore.open(tmp_path, manifest())


def test_an_unreadable_manifest_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(UserError, match=r"run\.json can't be read as a run"):
        RunStore.open(tmp_path, manifest())


def test_the_same_run_keeps_its_identity_and_birthday(tmp_path: Path) -> None:
    RunStore.open(tmp_path, manifest()).close()
    with RunStore.open(tmp_path, {**manifest(), "run_id": "new", "created": "later"}) as store:
        assert (store.manifest["run_id"], store.manifest["created"]) == ("r", "t")


def test_a_full_disk_loses_nothing_that_was_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = RunStore.open(tmp_path, manifest())
    store.append(CELL, record("a"))

    class Full:
        def __init__(self, file: Any) -> None:
            self.file = file

        def write(self, data: bytes) -> int:
            if len(data) < 40:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return int(self.file.write(data[: len(data) - 30]))

        def close(self) -> None:
            self.file.close()

    path = store.path_of(CELL)
    store._files[path] = Full(store._files[path])  # type: ignore[assignment]
    with pytest.raises(OSError, match="No space left"):
        store.append(CELL, record("b"))
    store.close()
    with RunStore.open(tmp_path, manifest()) as store:
        assert set(store.finished(CELL)) == {"a"}
        store.append(CELL, record("b"))
        assert set(store.finished(CELL)) == {"a", "b"}


def test_what_json_cannot_hold_is_refused_before_writing(tmp_path: Path) -> None:
    with RunStore.open(tmp_path, manifest()) as store:
        with pytest.raises(ValueError, match="JSON compliant"):
            store.append(CELL, {**record("a"), "scores": {"acc": float("nan")}})
        assert store.finished(CELL) == {}
