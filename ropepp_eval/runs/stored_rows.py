"""Rows of a run made again from what the run kept: its lines, and where tokenizer and data were."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ropepp_eval.data import open_data
from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert
from ropepp_eval.rows.building import DEFAULT_SEED, frozen_rows, tokenizer_rules
from ropepp_eval.rows.catalogue import TaskEntry, task_entries
from ropepp_eval.rows.protocols import protocol_of
from ropepp_eval.rows.row import Row, RowRequest
from ropepp_eval.runs.scoring import RowIsGone
from ropepp_eval.tokens.tokenizer import Tokenizer, load_tokenizer


class RecordedRow(Row):
    """A row as a line tells it. What lines do not hold (the prompt; of earlier releases the choices) is made again when asked for."""

    def __getattribute__(self, name: str) -> Any:
        held: dict[str, Any] = object.__getattribute__(self, "__dict__")
        if name in _NOT_ALWAYS_KEPT and name not in held:
            try:
                made = held["_remake"]()
            except UserError as error:
                raise RowIsGone(f"its {name.replace('_', ' ')} can't be made again: {error}") from error
            held.update({field: getattr(made, field) for field in _NOT_ALWAYS_KEPT if field not in held})
        return super().__getattribute__(name)


_NOT_ALWAYS_KEPT = ("prompt", "choices", "gold", "window_tokens", "stride_tokens")


def row_of_record(record: Mapping[str, Any], remake: Callable[[], Row]) -> Row:
    """The row that a line is about.

    Reading what the line does not hold asks `remake` and raises RowIsGone where that raises a UserError.
    """
    row: Row = object.__new__(RecordedRow)
    vars(row).update(
        task=record["task"],
        length_tokens=record["length_tokens"],
        row=record["row"],
        prompt_tokens=record.get("prompt_tokens"),
        references=tuple(record.get("references") or ()),
        max_new_tokens=record.get("budget") or 0,
        stand_in=bool(record.get("stand_in")),
        cluster=record.get("cluster") or "",
        details=record.get("details") or {},
        sha256=record["row_sha256"],
        _remake=remake,
    )
    if "choices" in record:
        vars(row).update(choices=tuple(record["choices"]), gold=record.get("gold"))
    return row


def task_of_record(name: str) -> TaskEntry:
    """The task of this name as it is today.

    Raises:
        UserError: there is none.
    """
    entries = task_entries()
    if name not in entries:
        raise UserError(
            f"task {inert(name)} is not known here; if it is one of your own, name its folder with --task-folder"
        )
    return entries[name]


class RowMaker:
    """Makes rows of a run again, and proves by their hashes that they are the same.

    Args:
        manifest: the run's `run.json`.
        tokenizer, data_dir: where these lie now; None: where the run found them.
    """

    def __init__(self, manifest: Mapping[str, Any], *, tokenizer: str | None = None, data_dir: str | None = None) -> None:
        self._arguments: Mapping[str, Any] = manifest.get("arguments") or {}
        self._earlier = [command["arguments"] for command in reversed(manifest.get("history") or ())]
        self._tokenizer, self._data_dir = tokenizer, data_dir or self._arguments.get("data_dir")
        self._made: dict[tuple[Any, ...], list[Row]] = {}
        self._tokenizers: dict[str, Tokenizer] = {}

    def row(self, record: Mapping[str, Any], samples: int = 0) -> Row:
        """The row of a line; where its cell has to be built, at least `samples` rows of it at once.

        Raises:
            UserError: tokenizer, data or task are not here, or what is made now is another row.
        """
        number, wanted = int(record["row"]), record["row_sha256"]
        cell = tuple(record.get(name) for name in ("task", "length_tokens", "protocol", "seed", "tokenizer_sha256"))
        if len(self._made.get(cell, ())) <= number:
            self._made[cell] = self._rows(record, max(samples, number + 1))
        rows = self._made[cell]
        if number >= len(rows) or rows[number].sha256 != wanted:
            raise UserError(
                f"row {number} of {inert(record['task'])} comes out otherwise now (its hash is not that of the line): the data, the task or "
                "the release changed; give the run's data with --data-dir, or use the release that made the run"
            )
        return rows[number]

    def _rows(self, record: Mapping[str, Any], samples: int) -> list[Row]:
        task, seed, arguments = task_of_record(record["task"]), record.get("seed"), self._arguments
        request = RowRequest(
            task=task.name,
            length_tokens=record["length_tokens"],
            samples=samples,
            seed=DEFAULT_SEED if seed is None else seed,
            protocol=protocol_of(record["protocol"]),
            tokenizer=self._tokenizer_of(record.get("tokenizer_sha256") or ""),
            data=open_data(
                self._data_dir, offline=bool(arguments.get("offline")), repeat_text=bool(arguments.get("repeat_text"))
            ),
        )
        try:
            return frozen_rows(request, task.build_rows())
        except ValueError as error:  # over its length: made of other data, or by another release
            raise UserError(str(error)) from error

    def _tokenizer_of(self, sha256: str) -> Tokenizer:
        """The tokenizer with this hash, among those that the run may have used."""
        if sha256 not in self._tokenizers:
            self._tokenizers[sha256] = self._found_tokenizer(sha256)
        return self._tokenizers[sha256]

    def _found_tokenizer(self, sha256: str) -> Tokenizer:
        try:
            rules = tokenizer_rules(dict(self._arguments.get("adapter_options") or ()))
        except (TypeError, ValueError) as error:
            raise UserError("run.json: arguments.adapter_options are not what a run writes; restore the file") from error
        why = ""
        for place in self._places():
            try:
                found = load_tokenizer(place, **rules)
            except UserError as error:
                why = why or str(error)
                continue
            if found.sha256 == sha256:
                return found
            why = f"{inert(place)} holds another tokenizer"
        raise UserError(
            f"its tokenizer is not here ({why or 'run.json does not say where it was'}); name it with --tokenizer"
        )

    def _places(self) -> Iterator[str]:
        """Where the commands that filled the folder found their tokenizers, the last command's first."""
        for arguments in (self._arguments, *self._earlier):
            named = self._tokenizer or arguments.get("tokenizer")
            yield from [named] if named else arguments.get("checkpoints") or ()
