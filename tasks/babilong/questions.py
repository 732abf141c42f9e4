"""The questions of a BABILong task: from the bAbI files, or from simulated worlds where there are none."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from ropepp_eval.data.babi import Question, read_questions
from ropepp_eval.data.babi_worlds import SIMULATED_TASKS, simulate_story
from ropepp_eval.data.folder import DataFolder
from ropepp_eval.errors import UserError
from ropepp_eval.streams import private_stream

STAND_IN_STORIES = 200


@dataclass(frozen=True)
class QuestionSet:
    """The questions of one task, in the order in which rows take them."""

    questions: tuple[Question, ...]
    source: str
    """Name of the bAbI file, or `simulated`."""
    stand_in: bool


def load_questions(data: DataFolder, task: str, seed: int) -> QuestionSet:
    """The questions of `task` (`qa1`); the seed only matters for simulated ones.

    Raises:
        UserError: the folder lacks the file, the file is broken, or the task can't be simulated.
    """
    paths = data.files("babi/en-10k", f"{task}_*_test.txt")
    if paths:
        return QuestionSet(_read(paths[0], paths[0].stat().st_mtime_ns), paths[0].name, stand_in=False)
    if task not in SIMULATED_TASKS:
        raise UserError(
            f"task babilong_{task} can't be generated (only {', '.join(SIMULATED_TASKS)} can); "
            "name a folder with the bAbI files with --data-dir"
        )
    return QuestionSet(_simulate(task, seed), "simulated", stand_in=True)


@functools.lru_cache(maxsize=32)
def _read(path: Path, modified_ns: int) -> tuple[Question, ...]:
    return tuple(read_questions(path))


@functools.lru_cache(maxsize=8)
def _simulate(task: str, seed: int) -> tuple[Question, ...]:
    streams = [private_stream("bAbI world", task, seed, story) for story in range(STAND_IN_STORIES)]
    return tuple(question for story, stream in enumerate(streams) for question in simulate_story(task, story, stream))
