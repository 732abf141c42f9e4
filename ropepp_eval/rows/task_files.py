"""What a task's YAML says: its fields, read and checked before any of its Python is imported."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, ValidationInfo, field_validator

from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert
from ropepp_eval.outside import Items, Outside, checked, parse_yaml, read_bytes

FUNCTION = "!function"
"""lm-eval's tag for a function: `!function hooks.rows`."""
AGGREGATIONS = ("mean", "perplexity", "weighted_perplexity", "bits_per_byte", "window_perplexity")
"""How a metric may be made from its rows; `ropepp_eval.reports.aggregation` knows the same."""
_ADVICE = "docs/tasks.md shows a whole task"
_OF_A_TASK = re.compile(
    rb"^(?:\xef\xbb\xbf)?(task|group|class|custom_dataset|process_results|output_type|metric_list)\s*:", re.MULTILINE
)


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*", text):
        raise ValueError("it must be letters, digits and _ . + - only, since files are named by it")
    return text


def _function(text: str) -> str:
    tag, _, dotted = text.partition(" ")
    if tag != FUNCTION or not all(part.isidentifier() for part in dotted.split(".")) or "." not in dotted:
        raise ValueError(f"it must be a function of a file in the folder, such as {FUNCTION} hooks.rows")
    return dotted


def _aggregation(text: str) -> str:
    name = text.removeprefix(f"{FUNCTION} ").rpartition(".")[2]
    if name not in AGGREGATIONS:
        raise ValueError(f"it must be {', '.join(AGGREGATIONS[:-1])} or {AGGREGATIONS[-1]}")
    return name


Name = Annotated[str, AfterValidator(_name)]
Function = Annotated[str, AfterValidator(_function)]


class MetricFields(Outside):
    """One entry of `metric_list`."""

    metric: Name
    aggregation: Annotated[str, AfterValidator(_aggregation)]
    higher_is_better: bool


class AboutTask(Outside):
    """`metadata`: what this project asks beyond lm-eval's fields."""

    model_config = ConfigDict(extra="forbid")
    benchmark: Name
    """What tables call the tasks that stand together."""
    version: int | float | str = 1
    description: str = ""
    takes_length: bool = True
    """False for tasks with a fixed prompt: length then only bounds the window."""
    zero_length: bool = False
    """True where the length 0k means something: what is asked for, without any text around it."""
    averaged: bool = True
    """False for variants of one task: a mean over them would say nothing."""
    scale: Annotated[dict[str, float], Field(default_factory=dict)]
    """By metric: what tables multiply it by, 100 for shares shown in percent."""


class TaskFile(Outside):
    """A task of ours: an lm-eval task whose class is `RowTask`. The first metric is the primary one, which tables show."""

    task: Name
    class_: Annotated[Function, Field(alias="class")]
    output_type: Literal["generate_until", "loglikelihood", "multiple_choice", "loglikelihood_rolling"]
    custom_dataset: Function
    process_results: Function
    metric_list: Annotated[Items[MetricFields], Field(min_length=1)]
    metadata: AboutTask
    generation_kwargs: Annotated[dict[str, Any], Field(default_factory=dict)]

    @field_validator("metadata")
    @classmethod
    def _scale_of_metrics(cls, about: AboutTask, info: ValidationInfo) -> AboutTask:
        names = [metric.metric for metric in info.data.get("metric_list", ())]
        for name in about.scale:
            if names and name not in names:
                raise ValueError(f"its scale names {name}, metric_list has {', '.join(names)}")
        return about


class GroupFile(Outside):
    """A group: a name for some tasks."""

    group: Name
    task: Annotated[Items[str], Field(min_length=1)]


def read_content(path: Path, within: tuple[Path, ...] = ()) -> dict[str, Any]:
    """A YAML file as lm-eval reads it, with what it includes; functions stay texts.

    Raises:
        UserError: a file is missing, no YAML or includes itself.
    """
    if path in within:
        raise UserError(f"{inert(path)}: include is itself, by way of other files; take it out")
    content = checked(
        parse_yaml(read_bytes(path, advice=_ADVICE), inert(path), advice=_ADVICE, tags=(FUNCTION,)),
        dict[str, Any],
        inert(path),
        advice=_ADVICE,
    )
    merged: dict[str, Any] = {}
    included = content.pop("include", [])
    for name in [included] if isinstance(included, str) else checked(included, list[str], f"{inert(path)}: include"):
        merged |= read_content(path.parent / name, (*within, path))
    return merged | content


def task_files(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The YAML files of a folder that are tasks or groups, with their content. Other files are settings; `_*.yaml` are parts that
    others include.

    Raises:
        UserError: one can't be read.
    """
    for path in sorted(folder.glob("*.yaml")):
        if not path.name.startswith("_") and _OF_A_TASK.search(read_bytes(path, advice=_ADVICE)):
            yield path, read_content(path)


def task_of(path: Path, content: dict[str, Any]) -> TaskFile | GroupFile | None:
    """A file's content, checked; None for a task of lm-eval's own kind, which names a data set instead of our class.

    Raises:
        UserError: a field is missing or wrong, in one line with file and field.
    """
    if "group" in content:
        return checked(content, GroupFile, inert(path), advice=_ADVICE)
    if "dataset_path" in content and "class" not in content:
        return None
    return checked(content, TaskFile, inert(path), advice=_ADVICE)
