"""The plan: every cell of a run with its rows, made before any model is loaded."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ropepp_eval.data import DataFolder, open_data
from ropepp_eval.data.left_out import NOTE
from ropepp_eval.errors import LengthTooShort, UserError
from ropepp_eval.hashing import hash_json
from ropepp_eval.lengths import format_length
from ropepp_eval.rows.building import frozen_rows, tokenizer_rules
from ropepp_eval.rows.catalogue import TaskEntry, task_entries
from ropepp_eval.rows.row import Row, RowRequest
from ropepp_eval.runs.config import RunConfig
from ropepp_eval.runs.growth import known_labels, open_to_runs, refuse_changes
from ropepp_eval.runs.judging import check_lengths, check_surroundings
from ropepp_eval.runs.keys import computation, record_key
from ropepp_eval.runs.progress import Building
from ropepp_eval.runs.shards import Shard, share_of
from ropepp_eval.runs.store import folder_name
from ropepp_eval.tokens.tokenizer import Tokenizer, load_tokenizer

if TYPE_CHECKING:
    from ropepp_eval.checkpoints.inspection import CheckpointInfo


@dataclass(frozen=True)
class PlannedCheckpoint:
    """A checkpoint as the run knows it: where it is, what it is, how it is called in tables."""

    label: str
    source: str
    """What the user named: folder, hub id or card."""
    info: CheckpointInfo
    tokenizer: Tokenizer

    @property
    def position(self) -> str:
        """The position embedding with settings and scaling, where it has some: `rope`, `ropepp_ec+yarn32`."""
        return self.info.label

    @property
    def folder_name(self) -> str:
        """Name of its folder under `rows/`."""
        return folder_name(self.label, self.info.sha256)


@dataclass(frozen=True)
class Cell:
    """(checkpoint, task, length) under the run's protocol, with its rows."""

    checkpoint: PlannedCheckpoint
    task: TaskEntry
    length_tokens: int
    rows: tuple[Row, ...]
    planned: int | None = None
    """Rows of the whole cell where `rows` are a shard's; None: `rows` are all."""

    @property
    def planned_rows(self) -> int:
        """Rows of the whole cell, whichever of them are asked here."""
        return len(self.rows) if self.planned is None else self.planned

    @property
    def file(self) -> str:
        """Of its rows, inside the run folder's `rows/`."""
        return f"{self.checkpoint.folder_name}/{self.task.name}@{self.length_tokens}.jsonl"

    @property
    def tokens(self) -> int:
        """Tokens the model reads or may write in this cell."""
        return sum(row.prompt_tokens + row.max_new_tokens for row in self.rows)

    @property
    def longest_row_tokens(self) -> int:
        """Prompt and budget of the longest row; the window where a text is read through windows."""
        return max(row.window_tokens or row.prompt_tokens + row.max_new_tokens for row in self.rows)

    def __str__(self) -> str:
        return f"{self.task.name} at {format_length(self.length_tokens)}"


@dataclass(frozen=True)
class Plan:
    """All cells of a run, checkpoint by checkpoint, short lengths first."""

    config: RunConfig
    cells: tuple[Cell, ...]
    data: DataFolder
    computations: Mapping[str, dict[str, Any]]
    """How the answers of each checkpoint come about, by label; see `keys.computation`."""
    left_out: tuple[str, ...] = ()
    """Why members of groups have no cell at a length: it does not hold them."""
    whole_folder: Path | None = None
    """Of a shard: the folder of the whole run, which its own lies in."""

    @property
    def checkpoints(self) -> list[PlannedCheckpoint]:
        return list({cell.checkpoint.label: cell.checkpoint for cell in self.cells}.values())

    def cells_of(self, checkpoint: PlannedCheckpoint) -> list[Cell]:
        return [cell for cell in self.cells if cell.checkpoint.label == checkpoint.label]

    def longest_row_tokens(self, checkpoint: PlannedCheckpoint) -> int:
        """Of the longest row that the checkpoint is asked."""
        return max(cell.longest_row_tokens for cell in self.cells_of(checkpoint))

    @property
    def rows(self) -> int:
        return sum(len(cell.rows) for cell in self.cells)

    @property
    def tokens(self) -> int:
        return sum(cell.tokens for cell in self.cells)

    @property
    def stand_in(self) -> bool:
        """True where generated text stands in for a real corpus in any row."""
        return any(row.stand_in for cell in self.cells for row in cell.rows)

    @property
    def questions_left_out(self) -> list[str]:
        """Which questions of a task's corpus can't be asked, a line each."""
        found = {
            f"{cell.task.name}: {row.details[NOTE]}": None for cell in self.cells for row in cell.rows if NOTE in row.details
        }
        return list(found)

    @functools.cached_property
    def data_sha256(self) -> str | None:
        """Hash of the corpora the rows were made from; None where all of it was generated."""
        return self.data.sha256 if self.data.root is not None else None

    def key_of(self, cell: Cell, row: Row) -> str:
        """Key of a row's record; see `keys.record_key`."""
        return record_key(self.computations[cell.checkpoint.label], row, cell.task.folder.sha256)

    def identity(self) -> dict[str, Any]:
        """All that decides the answers in the run's folder; what else is asked there does not matter."""
        return identity_of(self.config, self.computations, [cell.task for cell in self.cells])

    @property
    def asked(self) -> dict[tuple[Any, ...], frozenset[int]]:
        """Numbers of the rows of each cell, by (checkpoint's hash, position, task, length, protocol)."""
        return {
            (cell.checkpoint.info.sha256, cell.checkpoint.position, cell.task.name, cell.length_tokens, self.config.protocol_label):
                frozenset(row.row for row in cell.rows)
            for cell in self.cells
        }  # fmt: skip

    @functools.cached_property
    def folder(self) -> Path:
        """The run folder: the one named, or one that the run itself names, so that the same run finds it again; in it a shard's own."""
        if self.whole_folder is not None:
            return self.config.folder_in(self.whole_folder)
        if self.config.out is not None:
            return Path(self.config.out)
        config = self.config
        named_by = {
            **self.identity(),
            "tasks": list(config.tasks),
            "lengths": list(config.lengths),
            "samples": config.samples,
            "rows_sha256": hash_json(sorted({row.sha256 for cell in self.cells for row in cell.rows})),
        }
        return Path("runs") / hash_json(named_by)[:12]


def identity_of(config: RunConfig, computations: Mapping[str, dict[str, Any]], tasks: Iterable[TaskEntry]) -> dict[str, Any]:
    """`Plan.identity` before there is a plan."""
    folders = {task.name: task.folder.sha256 for task in tasks if task.folder.sha256}
    return {**({"task_folders": folders} if folders else {}), "checkpoints": dict(computations), "seed": config.seed}


def build_plan(config: RunConfig, building: Building | None = None, *, by_card: bool = False) -> Plan:
    """Judge what was asked for, look at every checkpoint, tokenizer and corpus, and only then build (or read) every row.

    Args:
        building: is told of each cell whose rows are built.
        by_card: take a published checkpoint whose files are not here as its card describes it, for a forecast alone.

    Raises:
        UserError: device, attention, engine or run folder can't be used; a checkpoint, tokenizer or data file is missing or wrong;
            the folder holds answers that this run would change; a length is past a checkpoint's; or a task can't be built at a
            length. Only of a group the members that a length does not hold are left out, and the plan says so.
    """
    building = building or Building(quiet=True)
    check_surroundings(config)
    folder = None if config.out is None else config.folder_in(Path(config.out))
    earlier = None if folder is None else open_to_runs(folder)
    data = open_data(config.data_dir, offline=config.offline, repeat_text=config.repeat_text)
    checkpoints = _planned_checkpoints(config, earlier, by_card and earlier is None)
    computations = {checkpoint.label: computation(config, checkpoint) for checkpoint in checkpoints}
    wanted = list(_task_lengths(config))
    if folder is not None and earlier is not None:
        refuse_changes(folder, earlier, identity_of(config, computations, [task for task, _ in wanted]))
    check_lengths(config, checkpoints, wanted)
    rows: dict[tuple[str, str, int], tuple[Row, ...]] = {}
    left_out: dict[str, LengthTooShort] = {}
    cells = []
    building.begin(len({checkpoint.tokenizer.sha256 for checkpoint in checkpoints}) * len(wanted))
    for checkpoint in checkpoints:
        for task, length in wanted:
            key = (checkpoint.tokenizer.sha256, task.name, length)
            if key not in rows:
                building.cell(f"{task.name} at {format_length(length)}")
                try:
                    rows[key] = _rows(config, task, length, checkpoint.tokenizer, data)
                except LengthTooShort as error:
                    if task.name not in config.grouped:
                        raise
                    rows[key], left_out[str(error)] = (), error
                building.done(len(rows[key]))
            if rows[key]:
                cells.append(Cell(checkpoint, task, length, rows[key]))
    if left_out and not cells:
        raise next(iter(left_out.values()))
    plan = Plan(config, tuple(cells), data, computations, tuple(left_out))
    return plan if config.shard is None else share_of(plan, Shard.parse(config.shard))


def _task_lengths(config: RunConfig) -> Iterator[tuple[TaskEntry, int]]:
    """Every (task, length), short lengths first, so that a wrong set-up shows early; fixed prompts come once."""
    entries = task_entries()
    for length in config.lengths:
        for name in config.tasks:
            if entries[name].takes_length or length == config.lengths[0]:
                yield entries[name], length


def _rows(config: RunConfig, task: TaskEntry, length: int, tokenizer: Tokenizer, data: DataFolder) -> tuple[Row, ...]:
    request = RowRequest(
        task=task.name,
        length_tokens=length,
        samples=config.samples,
        seed=config.seed,
        protocol=config.protocol,
        tokenizer=tokenizer,
        data=data,
    )
    return tuple(frozen_rows(request, task.build_rows()))


def _planned_checkpoints(config: RunConfig, earlier: Mapping[str, Any] | None, by_card: bool) -> list[PlannedCheckpoint]:
    from ropepp_eval.checkpoints.inspection import inspect_checkpoint

    found: dict[Path, tuple[str, CheckpointInfo]] = {}
    for source in config.checkpoints:
        info = _by_its_card(source, config.position) if by_card else None
        info = info or inspect_checkpoint(source, position=config.position)
        first, known = found.setdefault(Path(info.folder).resolve(), (source, info))  # two spellings of one are one
        if known.label != info.label:
            raise UserError(
                f"checkpoints {first} and {source} are one folder, read as {known.label} and as {info.label}; "
                "name one of them, or say which position holds with --position"
            )
    planned = []
    for (source, info), label in zip(found.values(), _labels(list(found.values()), known_labels(earlier)), strict=True):
        planned.append(_with_tokenizer(config, label, source, info))
    return planned


def _by_its_card(source: str, position: str | None) -> CheckpointInfo | None:
    """A published checkpoint whose files are not here; None where they are, or there is no card."""
    from ropepp_eval.checkpoints.card_info import info_of_card
    from ropepp_eval.checkpoints.folder import card_of, is_fetched

    card = card_of(source)
    return None if card is None or is_fetched(card, source) else info_of_card(card, position)


def planned_checkpoint(config: RunConfig, label: str, source: str) -> PlannedCheckpoint:
    """One checkpoint of a run that was planned elsewhere, as this machine has it. Raises UserError where it has none."""
    from ropepp_eval.checkpoints.inspection import inspect_checkpoint

    return _with_tokenizer(config, label, source, inspect_checkpoint(source, position=config.position))


def _with_tokenizer(config: RunConfig, label: str, source: str, info: CheckpointInfo) -> PlannedCheckpoint:
    """Its tokenizer is the one that was named, else the folder's own, else its card's."""
    from ropepp_eval.checkpoints.folder import card_of

    card = card_of(source)
    tokenizer = config.tokenizer or (info.folder if info.has_tokenizer else card.tokenizer if card else None)
    if tokenizer is None:
        raise UserError(f"checkpoint {source} holds no tokenizer; name its tokenizer's folder or hub id with --tokenizer")
    rules = tokenizer_rules(dict(config.adapter_options))
    return PlannedCheckpoint(label, source, info, load_tokenizer(tokenizer, **rules))


def _labels(found: list[tuple[str, CheckpointInfo]], known: Mapping[str, tuple[str, str | None]]) -> list[str]:
    """What the run's folder calls a checkpoint already: the same weights, or what was named so before. Else the shortest ends of their
    paths that tell the checkpoints apart, with a hash where no path does."""
    labels: dict[int, str] = {}
    for number, (source, info) in enumerate(found):
        same = [label for label, (sha256, _) in known.items() if sha256 == info.sha256]
        same += [label for label, (_, named) in known.items() if named is not None and _one_place(named, source)]
        free = next((label for label in same if label not in labels.values()), None)
        if free is not None:
            labels[number] = free
    new = {number: info for number, (_, info) in enumerate(found) if number not in labels}
    depth = 1
    while _ends(new, depth) != _ends(new, 99) and (
        len({*_ends(new, depth)}) < len(new) or known.keys() & {*_ends(new, depth)}
    ):
        depth += 1
    ends = _ends(new, depth)
    for (number, info), label in zip(new.items(), ends, strict=True):
        alone = ends.count(label) == 1 and label not in known
        labels[number] = label if alone else f"{label}@{info.sha256[:8]}"
    return [labels[number] for number in range(len(found))]


def _ends(infos: Mapping[int, CheckpointInfo], depth: int) -> list[str]:
    return ["/".join(info.path_parts[-depth:]) for info in infos.values()]


def _one_place(first: str, second: str) -> bool:
    return first == second or Path(first).resolve() == Path(second).resolve()
