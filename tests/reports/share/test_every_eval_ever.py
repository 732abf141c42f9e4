"""every-eval-ever's records, judged by its published JSON schema and by its own validator, both from its package."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest

from ropepp_eval.reports.frame import read_results
from ropepp_eval.reports.share.contents import Shared
from ropepp_eval.reports.share.every_eval_ever import write_records
from tests.reports.share.conftest import HOSTILE, json_lines, share

VALIDATOR = Path(sys.prefix) / "every-eval-ever" / "bin" / "every_eval_ever"
"""In an environment of its own, by `make setup-share`: it needs Python 3.12."""


@pytest.fixture(scope="session")
def records(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return share(run, "every-eval-ever", tmp_path_factory.mktemp("every-eval-ever") / "out")


def aggregates(folder: Path) -> dict[Path, dict[str, Any]]:
    return {path: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("data/*/*/*/*.json"))}


def schema(name: str) -> dict[str, Any]:
    try:
        found = distribution("every-eval-ever").locate_file(f"every_eval_ever/schemas/{name}.schema.json")
    except PackageNotFoundError:
        pytest.skip("the package every-eval-ever, which has the schema, is not installed: `make setup-share` does")
    return json.loads(Path(str(found)).read_text(encoding="utf-8"))


@pytest.mark.parametrize("prompts", [False, True])
def test_the_published_schemas_accept_every_record(prompts: bool, records: Path, shared: Shared, tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    if prompts:
        write_records(shared, tmp_path)
    folder = tmp_path if prompts else records
    whole, one = (jsonschema.Draft7Validator(schema(name)) for name in ("eval", "instance_level_eval"))
    assert len(aggregates(folder)) == 5
    for path, aggregate in aggregates(folder).items():
        assert [error.message for error in whole.iter_errors(aggregate)] == []
        for line in json_lines(path.with_name(f"{path.stem}_samples.jsonl")):
            assert [error.message for error in one.iter_errors(line)] == []
            assert (line["input"]["formatted"] is not None) == prompts  # type: ignore[index]


@pytest.mark.slow
def test_its_own_validator_accepts_the_folder(records: Path) -> None:
    if not VALIDATOR.exists():
        pytest.skip(
            "its validator is not installed (it needs Python 3.12): `make setup-share` does where there is python3.12"
        )
    done = subprocess.run(
        [str(VALIDATOR), "validate", "--format", "json", "data/*/*/*/*"], cwd=records, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_values_are_ours_and_instances_point_at_them(records: Path, run: Path) -> None:
    results = read_results(run)
    told = [result for aggregate in aggregates(records).values() for result in aggregate["evaluation_results"]]
    ours = results[results["value"].notna()]
    assert sorted(result["score_details"]["score"] for result in told) == pytest.approx(sorted(ours["value"]))
    assert sum(result["score_details"]["uncertainty"]["num_samples"] for result in told) == ours["rows"].sum()
    for path, aggregate in aggregates(records).items():
        file = path.with_name(f"{path.stem}_samples.jsonl")
        detailed = aggregate["detailed_evaluation_results"]
        assert (records / detailed["file_path"]) == file
        assert detailed["checksum"] == hashlib.sha256(file.read_bytes()).hexdigest()
        instances = json_lines(file)
        for result in aggregate["evaluation_results"]:
            own = [line for line in instances if line["evaluation_result_id"] == result["evaluation_result_id"]]
            assert len(own) == result["score_details"]["uncertainty"]["num_samples"]
            assert len({line["sample_id"] for line in own}) == len(own)
            if result["metric_config"]["metric_kind"] == "mean":
                mean = sum(line["evaluation"]["score"] for line in own) / len(own)  # type: ignore[index]
                assert mean == pytest.approx(result["score_details"]["score"])


def test_names_stay_names(records: Path) -> None:
    assert HOSTILE in {aggregate["model_info"]["name"] for aggregate in aggregates(records).values()}
    for path in aggregates(records):
        assert path.resolve().is_relative_to(records.resolve() / "data")
