"""`--shard I/N`: every row in one shard, equal by cost, and the shards together are the run."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ropepp_eval.cli import main
from ropepp_eval.errors import UserError
from ropepp_eval.reports.run_status import StatusReader
from ropepp_eval.runs.config import RunConfig
from ropepp_eval.runs.plan import Plan, build_plan
from ropepp_eval.runs.shards import Shard, cost_of
from tests.conftest import make_tiny_checkpoint

CELLS = ["--tasks", "niah_single_1,openbookqa", "--lengths", "512,1k", "--samples", "4", "--offline", "--dtype", "float32"]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path, tiny_tokenizer_dir: Path) -> list[str]:
    other = make_tiny_checkpoint(tmp_path_factory.mktemp("other") / "second", tiny_tokenizer_dir, seed=2)
    return [str(tiny_checkpoint), str(other)]


def plan_of(checkpoints: list[str], **changes: Any) -> Plan:
    usual = {"tasks": "niah_single_1,openbookqa", "lengths": "512,1k", "samples": 4, "offline": True, "dtype": "float32"}
    return build_plan(RunConfig.of(*checkpoints, **{**usual, **changes}))


def keys_of(plan: Plan) -> Counter[str]:
    return Counter(plan.key_of(cell, row) for cell in plan.cells for row in cell.rows)


def stored(out: Path) -> dict[str, dict[str, Any]]:
    lines = [json.loads(line) for path in out.glob("rows/*/*.jsonl") for line in path.read_text().splitlines()]
    assert len(lines) == len({line["key"] for line in lines})
    return {line.pop("key"): line for line in lines}


@pytest.mark.parametrize("of", [1, 2, 3, 7])
def test_every_row_is_in_one_shard_and_shards_cost_the_same(checkpoints: list[str], of: int, tmp_path: Path) -> None:
    whole = plan_of(checkpoints)
    shards = [plan_of(checkpoints, shard=f"{number}/{of}") for number in range(1, of + 1)]
    assert sum(map(keys_of, shards), Counter()) == keys_of(whole)
    costs = [sum(cost_of(cell, row) for cell in plan.cells for row in cell.rows) for plan in shards]
    longest = max(cost_of(cell, row) for cell in whole.cells for row in cell.rows)
    assert max(costs) - min(costs) <= 2 * longest
    assert {plan.folder.parent for plan in shards} == {whole.folder}
    assert len({plan.folder for plan in shards}) == of


def test_shards_in_any_order_are_the_run_and_a_run_gathers_them(
    checkpoints: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["run", *checkpoints, *CELLS, "--quiet"]
    assert main([*run, "--out", str(tmp_path / "whole")]) == 0
    table = capsys.readouterr().out
    for number in (3, 1, 2):
        assert main([*run, "--shard", f"{number}/3", "--out", str(tmp_path / "parts"), "--format", "none"]) == 0
        (status,) = StatusReader().read([tmp_path / "parts" / f"shard-{number}-of-3"])
        assert (status.state, status.rows, status.notes) == ("finished", status.planned, ())
    assert capsys.readouterr().out == ""
    assert main(["table", str(tmp_path / "parts")]) == 0
    assert capsys.readouterr().out == table
    page = tmp_path / "report.html"
    assert main(["report", str(tmp_path / "parts"), "--out", str(page)]) == 0
    assert all(Path(name).name in page.read_text() for name in checkpoints)
    capsys.readouterr()

    parts = {key: row for folder in tmp_path.glob("parts/shard-*") for key, row in stored(folder).items()}
    assert main([*run, "--out", str(tmp_path / "parts")]) == 0
    assert capsys.readouterr().out == table
    gathered, whole = stored(tmp_path / "parts"), stored(tmp_path / "whole")
    assert gathered == parts, "not one row was asked again"
    for row in (*gathered.values(), *whole.values()):
        del row["seconds"], row["checksum"]
    assert gathered == whole
    assert json.loads((tmp_path / "parts" / "run.json").read_text())["status"] == "success"


def test_what_a_missing_shard_would_have_asked_the_run_asks(
    checkpoints: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["run", checkpoints[0], *CELLS, "--format", "none", "--out", str(tmp_path)]
    assert main([*run, "--shard", "2/2", "--quiet"]) == 0
    there = stored(tmp_path / "shard-2-of-2")
    assert main(run) == 0
    assert f"took {len(there)} rows from" in capsys.readouterr().err
    assert there.items() < stored(tmp_path).items()
    assert len(stored(tmp_path)) == 12


def test_a_shard_grows_with_its_run(checkpoints: list[str], tmp_path: Path) -> None:
    run = ["run", checkpoints[0], *CELLS, "--quiet", "--format", "none", "--out", str(tmp_path)]
    for more in ([], ["--samples", "6"]):
        for number in (1, 2):
            assert main([*run, "--shard", f"{number}/2", *more]) == 0
    manifests = [json.loads((tmp_path / f"shard-{number}-of-2" / "run.json").read_text()) for number in (1, 2)]
    assert [manifest["status"] for manifest in manifests] == ["success", "success"]
    assert {key for number in (1, 2) for key in stored(tmp_path / f"shard-{number}-of-2")} == set(
        keys_of(plan_of(checkpoints[:1], samples=6))
    )
    assert main(["run", "--again", str(tmp_path / "shard-1-of-2"), "--quiet", "--format", "none"]) == 0
    assert not (tmp_path / "shard-1-of-2" / "shard-1-of-2").exists()


@pytest.mark.parametrize("text", ["0/2", "3/2", "2", "a/b", "1/0", "-1/2", ""])
def test_a_shard_that_is_none_is_one_line(text: str) -> None:
    with pytest.raises(UserError, match=r"such as --shard 2/8"):
        Shard.parse(text)


def test_more_shards_than_rows_is_one_line(checkpoints: list[str]) -> None:
    with pytest.raises(UserError, match=r"shard 1/100 has no row: .* 12 rows"):
        plan_of(checkpoints[:1], shard="1/100")


def test_shards_are_in_order_by_name() -> None:
    assert [Shard(number, 12).folder_name for number in (2, 11)] == ["shard-02-of-12", "shard-11-of-12"]
