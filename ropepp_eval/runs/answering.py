"""Who answers the rows of a plan: an executor. This process is one, which loads one checkpoint after the other; a cluster is another.

What turns rows into requests and answers back into rows is the same for both: `answered_rows`, by one adapter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ropepp_eval.adapters.answers import Answer
from ropepp_eval.rows.catalogue import TaskEntry
from ropepp_eval.rows.requests import requests_of
from ropepp_eval.rows.row import Row
from ropepp_eval.runs.config import RunConfig
from ropepp_eval.runs.keys import cut_at_tokens

if TYPE_CHECKING:
    from ropepp_eval.runs.plan import Cell, Plan, PlannedCheckpoint
    from ropepp_eval.runs.watch import Watch

Pending = tuple["Cell", Sequence[Row]]
"""A cell and its rows that have no record yet."""
Answered = Generator[tuple["Cell", Row, list[Answer]], None, None]
"""Rows as they are answered."""


class Adapter(Protocol):
    """What is needed of an adapter: see `ropepp_eval.adapters.native.NativeLM`."""

    def answers(self, requests: list[Any]) -> Iterator[tuple[int, Answer]]: ...


class Executor(Protocol):
    """Who answers rows. A run calls `prepare`, plans, calls `open`, takes the `answers`, and in any case calls `close`."""

    def prepare(self, config: RunConfig) -> RunConfig:
        """The config as it is where the rows are answered: which kind of device `auto` is there.

        Raises:
            UserError: nobody is there to answer.
        """

    def open(self, plan: Plan) -> None:
        """Get ready. Nothing was written by then.

        Raises:
            UserError: the plan can't be answered there.
        """

    def close(self) -> None:
        """End what was started. Safe to call again."""

    def answers(self, plan: Plan, pending: Sequence[Pending], watch: Watch) -> Answered:
        """The answers of each pending row, in any order, each row once. The caller stores a row before it takes the next one."""


class ThisProcess:
    """Loads one checkpoint at a time and asks its cells one after the other."""

    def prepare(self, config: RunConfig) -> RunConfig:
        return config

    def open(self, plan: Plan) -> None:
        from ropepp_eval.runs.preflight import check_memory  # a worker needs none of it

        check_memory(plan)

    def close(self) -> None:
        pass

    def answers(self, plan: Plan, pending: Sequence[Pending], watch: Watch) -> Answered:
        for checkpoint in plan.checkpoints:
            work = [(cell, rows) for cell, rows in pending if cell.checkpoint.label == checkpoint.label and rows]
            if not work:
                continue
            watch.loading(checkpoint.label)
            adapter = make_adapter(plan.config, checkpoint, plan.longest_row_tokens(checkpoint), log_folder=str(plan.folder))
            watch.ran(checkpoint.label, facts_of(adapter))
            watch.loaded(checkpoint, adapter)
            for line in work_lines(adapter, work) if plan.config.verbose else ():
                watch.say(line)
            for cell, rows in work:
                watch.asking(cell)
                for number, answers in answered_rows(Asking.of(cell.task), rows, adapter):
                    yield cell, rows[number], answers
            for event in getattr(adapter, "events", ()):
                watch.event(checkpoint.label, event)
            del adapter


@dataclass(frozen=True)
class Asking:
    """How the rows of a task become requests."""

    output_type: str
    generation: Mapping[str, Any]

    @classmethod
    def of(cls, task: TaskEntry) -> Asking:
        return cls(task.output_type, dict(task.generation))

    def requests(self, rows: Sequence[Row]) -> tuple[list[Any], list[int]]:
        """The requests of some rows, and for each the place of its row in `rows`."""
        requests: list[Any] = []
        owner: list[int] = []
        for place, row in enumerate(rows):
            instances = requests_of(row, self.output_type, dict(self.generation), row_window=True, doc=row.as_doc())
            requests += instances
            owner += [place] * len(instances)
        return requests, owner


def answered_rows(asking: Asking, rows: Sequence[Row], adapter: Adapter) -> Iterator[tuple[int, list[Answer]]]:
    """(place in `rows`, its answers) of each row, as soon as all of its requests are answered."""
    requests, owner = asking.requests(rows)
    wanted = Counter(owner)
    answers: dict[int, dict[int, Answer]] = {place: {} for place in wanted}
    for index, answer in adapter.answers(requests):
        place = owner[index]
        answers[place][index] = answer
        if len(answers[place]) == wanted[place]:
            given = answers.pop(place)
            yield place, [given[i] for i in sorted(given)]


def make_adapter(config: RunConfig, checkpoint: PlannedCheckpoint, longest_tokens: int, log_folder: str) -> Adapter:
    """The adapter of one checkpoint, weights loaded.

    Args:
        longest_tokens: of the longest row of the checkpoint in the whole plan, whichever of them are asked here.
        log_folder: where an engine may write its log.
    """
    settings: dict[str, Any] = {
        "pretrained": checkpoint.source,
        "sha256": checkpoint.info.sha256,
        "tokenizer": checkpoint.tokenizer,
        "position": config.position,
        "dtype": config.dtype,
        "device": config.device,
        "max_length": cut_at_tokens(config, checkpoint) or max(longest_tokens, checkpoint.info.max_position_embeddings),
        **dict(config.adapter_options),
    }
    if config.backend == "vllm":
        from ropepp_eval.adapters.vllm import VllmLM

        adapter: Adapter = VllmLM(
            **{**settings, "max_length": min(longest_tokens, settings["max_length"]), "log_folder": log_folder}
        )
        return adapter
    from ropepp_eval.adapters.native import NativeLM

    native: Adapter = NativeLM(attention=config.attention, **settings)
    return native


def facts_of(adapter: Adapter) -> dict[str, Any]:
    """Which device, dtype and attention kernel really run, as `run.json` keeps them."""
    facts: dict[str, Any] = getattr(adapter, "get_model_info", dict)()
    return {name: str(value) for name, value in facts.items() if name != "checkpoint"}


def work_lines(adapter: Adapter, work: Sequence[Pending]) -> list[str]:
    """What the adapter will do for the checkpoint's longest cell: batches, tokens, cache, expected peak."""
    plan = getattr(adapter, "plan", None)
    if plan is None:
        return []
    cell, rows = max(work, key=lambda one: one[0].longest_row_tokens)
    requests, _ = Asking.of(cell.task).requests(rows)
    return [f"  {cell.checkpoint.label}, {cell}: {line}" for line in plan(requests).lines()]
