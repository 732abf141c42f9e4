"""A length that does not hold a task: an error where the task was named, said and left out where only its group was."""

from __future__ import annotations

import pytest

from ropepp_eval.errors import UserError
from ropepp_eval.paths import resource_dir
from ropepp_eval.runs.config import RunConfig
from ropepp_eval.runs.plan import Plan, build_plan
from ropepp_eval.runs.preflight import describe_plan


def plan_of(tasks: str, lengths: str) -> Plan:
    checkpoint = resource_dir("models") / "demo" / "rope"
    return build_plan(
        RunConfig.of(checkpoint, tasks=tasks, lengths=lengths, samples=1, offline=True, allow_beyond_trained_length=True)
    )


def test_members_of_a_group_are_left_out_where_they_do_not_fit_and_the_plan_says_so() -> None:
    plan = plan_of("ruler", "512,2k")
    cells = {(cell.task.name, cell.length_tokens) for cell in plan.cells}
    assert len(cells) == 2 * 13 - 2
    assert {("vt", 512), ("cwe", 512)}.isdisjoint(cells)
    said = " ".join(" ".join(describe_plan(plan)).split())
    assert said.count("left out: ") == 2
    assert "left out: task vt does not fit 512 tokens: row 0 and its budget of 30 new tokens need" in said
    assert "left out: task cwe does not fit 512 tokens" in said


@pytest.mark.parametrize("tasks", ["vt,niah_single_1", "ruler,vt"])
def test_a_task_that_was_named_is_never_left_out(tasks: str) -> None:
    with pytest.raises(UserError, match="task vt does not fit 512 tokens"):
        plan_of(tasks, "512,2k")


def test_a_group_of_which_nothing_fits_is_an_error() -> None:
    with pytest.raises(UserError, match="does not fit 32 tokens"):
        plan_of("ruler", "32")
