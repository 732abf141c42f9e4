"""inspect's logs, opened by inspect_ai itself: the same rows, scores and counts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas
import pytest

from ropepp_eval.reports.cells import read_cells
from ropepp_eval.reports.frame import read_results
from ropepp_eval.reports.row_views import row_views
from ropepp_eval.reports.share.contents import Shared, long_hash, portable_name
from ropepp_eval.reports.share.inspect_logs import NO_PROMPT, write_logs
from tests.cli.test_bad_results import refusal
from tests.reports.share.conftest import ANSWERS, HOSTILE, share


@pytest.fixture(scope="session")
def inspect_ai() -> None:
    pytest.importorskip("inspect_ai", reason="inspect_ai is not installed: `make setup-share` does")


@pytest.fixture(scope="session")
def logs(inspect_ai: None, run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return share(run, "inspect", tmp_path_factory.mktemp("inspect") / "logs")


def test_samples_have_equal_ids_outcomes_and_scores(logs: Path, run: Path) -> None:
    from inspect_ai.analysis import samples_df

    samples = samples_df(str(logs))
    views = {long_hash(*view.cell.name, view.record["row"])[:22]: view for view in row_views(read_cells(run))}
    assert len(samples) == len(views) == 18
    assert not samples.duplicated(["eval_id", "id", "epoch"]).any()
    for sample in samples.to_dict("records"):
        view = views.pop(sample["sample_id"])
        score = sample[f"score_{view.metric}"]
        assert (None if pandas.isna(score) else score) == view.score
        assert sample["metadata_outcome"] == view.outcome
        assert ("made by the test" in str(sample["error"])) == (view.outcome == "failed")
        assert json.loads(sample["metadata_depths_percent"]) == view.depths
        assert sample["input"].removeprefix("user:\n").strip() == (view.question or NO_PROMPT)
        assert sample["metadata_row_sha256"] == view.record["row_sha256"]
    assert not views


def test_logs_have_equal_values_and_counts(logs: Path, run: Path) -> None:
    from inspect_ai.analysis import evals_df

    evals, results = evals_df(str(logs)), read_results(run)
    assert len(evals) == len(results)
    for metric, kind in (("score", "mean"), ("word_perplexity", "window_perplexity")):
        ours = results[(results["metric"] == metric) & results["value"].notna()]
        column = f"score_{metric}_{kind}"
        assert sorted(evals[column].dropna()) == pytest.approx(sorted(ours["value"]))
    assert sorted(evals["total_samples"] - evals["completed_samples"]) == sorted(results["failed"])
    assert HOSTILE in set(evals["model"])


def test_answers_stay_data(logs: Path) -> None:
    from inspect_ai.log import list_eval_logs, read_eval_log

    found = [read_eval_log(log) for log in list_eval_logs(str(logs))]
    (first,) = [log for log in found if log.samples[0].metadata["depth_percent"] == 5.0]
    assert [sample.output.completion for sample in first.samples] == [ANSWERS[0], r"half \ud800 a character", ANSWERS[2], ""]
    assert first.samples[0].output.usage.input_tokens == 3932


def test_prompts_are_there_when_asked_for(inspect_ai: None, shared: Shared, tmp_path: Path) -> None:
    from inspect_ai.analysis import samples_df

    write_logs(shared, tmp_path)
    assert r"prompt 0 \ud800" in set(samples_df(str(tmp_path))["input"].str.removeprefix("user:\n").str.strip())


@pytest.mark.slow
def test_inspect_bundles_the_folder(logs: Path, tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("inspect")
    bundle = [str(command), "view", "bundle", "--log-dir", str(logs), "--output-dir", str(tmp_path / "bundle")]
    subprocess.run(bundle, check=True, capture_output=True, cwd=tmp_path)
    assert len(list((tmp_path / "bundle" / "logs").glob("*.eval"))) == len(list(logs.glob("*.eval"))) == 6
    assert (tmp_path / "bundle" / "index.html").is_file()


def test_without_the_extra_one_line_says_what_to_install(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "inspect_ai", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    said = refusal(capsys, "share", run, "--to", "inspect", "--out", tmp_path / "new" / "logs")
    assert "pip install 'ropepp-eval[inspect]'" in said
    assert not list(tmp_path.iterdir())


def test_names_that_files_can_not_have_are_told_apart() -> None:
    names = ["niah", "../../up", "..", "CON", "con.x", "a:b", "a?b", "", "x" * 300, "data"]
    made = [portable_name(name) for name in names]
    assert made[0] == "niah"
    assert len(set(made)) == len(names)
    assert not any(set("/\\:?.") & set(name) or name.lower() in ("con", "data", "") or len(name) > 80 for name in made)
