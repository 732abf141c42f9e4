"""The card: what huggingface_hub reads from it is what our tables say."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from ropepp_eval.cli import main
from ropepp_eval.reports.frame import read_results
from tests.cli.test_bad_results import refusal, shown
from tests.reports.share.conftest import HOSTILE


@pytest.mark.parametrize("checkpoint", ["rope", HOSTILE])
def test_the_hubs_classes_read_the_same_numbers(checkpoint: str, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "card.md"
    assert main(["share", str(run), "--to", "card", "--checkpoint", checkpoint, "--out", str(out)]) == 0
    card = ModelCard(out.read_text(encoding="utf-8"))
    results = read_results(run)
    own = results[(results["checkpoint"] == checkpoint) & results["value"].notna()]
    assert card.data.model_name == checkpoint
    assert sorted(one.metric_value for one in card.data.eval_results) == pytest.approx(
        sorted(own["scale"] * own["value"]), abs=1e-4
    )
    assert len({one.unique_identifier for one in card.data.eval_results}) == len(own)
    assert "<img" not in card.text.replace("\\<", "")


def test_several_checkpoints_are_not_one_card(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "choose one with --checkpoint: rope; " in refusal(capsys, "share", run, "--to", "card")


def test_a_card_without_a_value_is_none(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal(capsys, "share", run, "--to", "card", "--checkpoint", "org/all-failed")
    assert "all of 2 rows failed (ValueError: made by the test)" in said


def test_a_file_that_is_there_stays(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "README.md").write_text("mine")
    said = refusal(capsys, "share", run, "--to", "card", "--checkpoint", "rope", "--out", tmp_path / "README.md")
    assert "is there already" in said
    assert (tmp_path / "README.md").read_text() == "mine"
    assert shown(capsys, "share", run, "--to", "card", "--checkpoint", "rope").startswith("---\nmodel-index:\n")
