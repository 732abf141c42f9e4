"""The short suite: every name exists in lm-eval, and what is restated here is what lm-eval says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lm_eval.tasks
import pytest
from lm_eval.tasks._index import TaskIndex
from lm_eval.tasks._yaml_loader import load_yaml

from ropepp_eval.errors import UserError
from ropepp_eval.paths import resource_dir
from ropepp_eval.rows.catalogue import resolve_tasks, task_entries, task_groups

LM_EVAL_TASKS = Path(lm_eval.tasks.__file__).parent


@pytest.fixture(scope="module")
def index() -> dict[str, Any]:
    """lm-eval's index of the folders that the suite draws on, and of ours."""
    folders = ["truthfulqa", "piqa", "hellaswag", "winogrande", "arc", "gpqa", "siqa", "openbookqa", "super_glue"]
    return TaskIndex.build([*(LM_EVAL_TASKS / folder for folder in folders), resource_dir("tasks") / "short"])


@pytest.mark.parametrize("group", ["short", "short_super_glue"])
def test_every_member_is_known_to_lm_eval(group: str, index: dict[str, Any]) -> None:
    assert [name for name in task_groups()[group] if name not in index] == []


def test_the_suite_has_the_nine_columns_of_table_1() -> None:
    assert len(task_groups()["short"]) == 9
    assert len(task_groups()["short_super_glue"]) == 8


def test_short_openbookqa_is_lm_evals_openbookqa() -> None:
    ours = load_yaml(resource_dir("tasks") / "short" / "short_openbookqa.yaml")
    theirs = load_yaml(LM_EVAL_TASKS / "openbookqa" / "openbookqa.yaml")
    assert {**ours, "task": "openbookqa"} == theirs


def test_a_run_refuses_the_suite_and_says_what_runs_it() -> None:
    with pytest.raises(UserError, match="ropepp-eval lm-eval --tasks short"):
        resolve_tasks(["short"])


def test_a_run_of_table_1_takes_the_rows_of_this_project() -> None:
    names = [entry.name for entry in resolve_tasks(["table1"])]
    assert len(names) == 20
    assert names[-10:] == list(task_groups()["super_glue"])


def test_lm_evals_own_tasks_are_not_listed_as_ours() -> None:
    assert "short_openbookqa" not in task_entries()
