"""What a task scores while heads are hurt: noise on real or imaginary heads, and heads switched off or averaged (`ablation`)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from ropepp_eval.errors import UserError, unknown_name
from ropepp_eval.probes.base import Measured, Probe, ProbeCell, Record, name_columns
from ropepp_eval.probes.conditions import WAYS, Ablation, Noise
from ropepp_eval.probes.heads import HeadFacts, HeadPlaces
from ropepp_eval.probes.statistics import difference_with_interval, mean_with_interval
from ropepp_eval.rows.catalogue import TaskEntry, task_entries
from ropepp_eval.runs.answering import Asking, answered_rows
from ropepp_eval.runs.execute import score
from ropepp_eval.runs.scoring import described_task, stored_response

if TYPE_CHECKING:
    import pandas

DEVIATIONS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.5)
"""Of the paper's Figure 5."""
MEAN_TEXTS = 2
"""Texts whose tokens a head's mean output is over."""
ROLES = ("real", "imaginary", "both")


@dataclass(frozen=True)
class _Hurting(Probe):
    """A task asked again under each condition; rows of one question count as one document, however many seeds it meets."""

    def described(self, cell: ProbeCell) -> dict[str, Any]:
        return {**described_task(task_entries()[cell.task]), "benchmark": self.kind, "averaged": False}

    @abstractmethod
    def conditions(self, facts: HeadFacts) -> list[tuple[str, int, Noise | Ablation]]:
        """(end of the label, number of the draw, condition) of every cell."""

    def cells(self, cell: ProbeCell, facts: HeadFacts | None) -> list[ProbeCell]:
        assert facts is not None
        primary = task_entries()[cell.task].primary
        if primary.aggregation != "mean":
            raise UserError(
                f"task {cell.task} is scored by {primary.name}, which is no mean over rows; name a task that is, such as --tasks niah_single_1"
            )
        return [
            replace(
                cell,
                label=f"{cell.label}~{label}",
                condition=condition,
                rows=tuple(_drawn(row, draw, len(cell.rows)) for row in cell.rows),
            )
            for label, draw, condition in self.conditions(facts)
        ]

    def measure(self, subject: Any, cell: ProbeCell, rows: Sequence[Any]) -> Iterator[tuple[Any, Measured]]:
        task = task_entries()[cell.task]
        texts = [subject.encoder.tokenizer.prompt_ids(row.prompt) for row in cell.rows[:MEAN_TEXTS]]
        with cell.condition.applied(subject, texts):
            yield from answered(subject, task, rows, cell.condition.as_json())

    def frame(self, records: Sequence[Record]) -> pandas.DataFrame:
        """One line a row and condition: `score` in the task's first metric, and what was done."""
        import pandas

        lines = []
        for record in records:
            metric = task_entries()[record["task"]].primary.name
            lines.append(
                {**name_columns(record), "checkpoint": record["checkpoint"].rpartition("~")[0], "metric": metric, "score": record["scores"][metric],
                 **record["details"]["condition"]}
            )  # fmt: skip
        return pandas.DataFrame(lines)


@dataclass(frozen=True)
class NoiseProbe(_Hurting):
    """The `noise` probe."""

    kind: ClassVar[str] = "noise"

    deviations: tuple[float, ...] = DEVIATIONS
    targets: tuple[str, ...] = ()
    """`real`, `imaginary`, `both`; empty: the roles that the checkpoint's heads have."""
    seeds: int = 3
    """Draws of the noise at each deviation over 0."""

    def __post_init__(self) -> None:
        for deviation in self.deviations:
            if not 0 <= deviation < float("inf"):
                raise UserError(
                    f"deviation {deviation:g} is no standard deviation; give 0 or more, such as --deviations 0,0.4,0.8"
                )
        if not self.deviations:
            raise UserError("no deviation was named; give some, such as --deviations 0,0.4,0.8")
        if self.seeds < 1:
            raise UserError(f"seeds {self.seeds} is below 1; draw the noise at least once, such as --seeds 3")
        _check_targets(self.targets)

    def check(self, facts: HeadFacts) -> None:
        for target in self.targets:
            facts.check_role(target)

    def conditions(self, facts: HeadFacts) -> list[tuple[str, int, Noise | Ablation]]:
        targets = self.targets or tuple(dict.fromkeys(facts.roles))
        found: list[tuple[str, int, Noise | Ablation]] = []
        for target in targets:
            for deviation in self.deviations:
                for seed in range(self.seeds if deviation else 1):
                    noise = Noise(target, deviation, seed)
                    found.append((noise.label, seed, noise))
        return found

    def numbers(self, frame: pandas.DataFrame) -> pandas.DataFrame:
        """By checkpoint, task, length, target and deviation: the mean score over rows (of all seeds) with its interval, and real minus imaginary."""
        import pandas

        lines = []
        names = ["checkpoint", "task", "length_tokens", "metric", "deviation"]
        for values, group in frame.groupby(names, sort=False):
            start = dict(zip(names, values, strict=True))
            both = {target: part.sort_values(["row", "seed"]) for target, part in group.groupby("target", sort=False)}
            paired = {}
            if {"real", "imaginary"} <= {*both} and len(both["real"]) == len(both["imaginary"]):
                paired = difference_with_interval(
                    both["real"]["score"], both["imaginary"]["score"], both["real"]["cluster"], scores=True
                )
            for target, part in both.items():
                lines.append(
                    {
                        **start,
                        "target": target,
                        **mean_with_interval(part["score"], part["cluster"], scores=True),
                        "seeds": part["seed"].nunique(),
                        **paired,
                    }
                )
        return pandas.DataFrame(lines)


@dataclass(frozen=True)
class AblationProbe(_Hurting):
    """The `ablation` probe: what remains of a score without some heads."""

    kind: ClassVar[str] = "ablation"

    targets: tuple[str, ...] = ()
    """`real`, `imaginary`; empty, and no heads: the roles that the checkpoint's heads have."""
    heads: HeadPlaces = ()
    """(layer, head) pairs that are taken out together."""
    ways: tuple[str, ...] = WAYS

    def __post_init__(self) -> None:
        for way in self.ways:
            if way not in WAYS:
                raise unknown_name("way", way, WAYS, "give off, mean or both with --ways")
        _check_targets(self.targets)

    def check(self, facts: HeadFacts) -> None:
        facts.check_heads(self.heads)
        for target in self.targets:
            facts.check_role(target)

    def conditions(self, facts: HeadFacts) -> list[tuple[str, int, Noise | Ablation]]:
        wanted: dict[str, HeadPlaces] = {}
        for target in self.targets or (() if self.heads else tuple(dict.fromkeys(facts.roles))):
            wanted[target] = facts.places(target)
        if self.heads:
            wanted["+".join(f"{layer}.{head}" for layer, head in self.heads)] = self.heads
        found: list[tuple[str, int, Noise | Ablation]] = [("whole", 0, Ablation("", (), "off"))]
        for target, heads in wanted.items():
            found += [(condition.label, 0, condition) for condition in (Ablation(target, heads, way) for way in self.ways)]
        return found

    def frame(self, records: Sequence[Record]) -> pandas.DataFrame:
        frame = super().frame(records)
        return (
            frame.assign(heads=[" ".join(f"{layer}:{head}" for layer, head in heads) for heads in frame["heads"]])
            if len(frame)
            else frame
        )

    def numbers(self, frame: pandas.DataFrame) -> pandas.DataFrame:
        """By checkpoint, task, length, heads and way: the mean score with its interval, and the paired difference from the whole model."""
        import pandas

        lines = []
        names = ["checkpoint", "task", "length_tokens", "metric"]
        for values, group in frame.groupby(names, sort=False):
            whole = group[group["target"] == ""].set_index("row")["score"]
            for (target, way), part in group.groupby(["target", "way"], sort=False):
                line = dict(zip(names, values, strict=True)) | {
                    "target": target or "none",
                    "way": way if target else "whole",
                }
                same = part[part["row"].isin(whole.index)]
                paired = (
                    difference_with_interval(same["score"], whole.loc[same["row"]], same["cluster"], scores=True)
                    if target and len(same)
                    else {}
                )
                lines.append({**line, **mean_with_interval(part["score"], part["cluster"], scores=True), **paired})
        return pandas.DataFrame(lines)


def _check_targets(targets: Sequence[str]) -> None:
    for target in targets:
        if target not in ROLES:
            raise unknown_name("target", target, ROLES, "give one or more with --target")


def _drawn(row: Any, draw: int, rows: int) -> Any:
    """The row as the cell of a draw numbers it; its question stays one document."""
    return replace(
        row,
        row=row.row + draw * rows,
        cluster=row.cluster or f"row {row.row}",
        details={**row.details, "question_row": row.row},
    )


def answered(lm: Any, task: TaskEntry, rows: Sequence[Any], condition: dict[str, Any]) -> Iterator[tuple[Any, Measured]]:
    """Rows with their scores as their answers are made."""
    for place, answers in answered_rows(Asking.of(task), rows, lm):
        row = rows[place]
        scores, failure = score(task, row, answers)
        more = {
            "responses": [stored_response(answer.response) for answer in answers],
            "new_tokens": sum(answer.new_tokens for answer in answers),
            "finish": answers[0].finish,
            "prompt_sha256": answers[0].prompt_sha256,
        }
        yield row, Measured(scores, {**row.details, "condition": condition}, failure, more)
