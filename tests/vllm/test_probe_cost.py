"""`probe cost --backend vllm`: a real engine for each cell, kept beside the native engine's cells and told apart from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas
import pytest

from ropepp_eval.cli import main
from ropepp_eval.probes import execute
from ropepp_eval.reports.frame import read_rows
from tests.adapters.families import FAMILIES
from tests.vllm.tiny import make_checkpoint

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]
HEADS = {"rope": 2, "ropepp_eh": 1}
"""Key/value heads that each projects, of the tiny shape."""


def command(out: Path, *checkpoints: Path, backend: str = "native,vllm") -> list[str]:
    eager = ["--enforce-eager"] if "vllm" in backend else []
    return [
        "probe", "cost", *map(str, checkpoints), "--backend", backend, *eager, "--lengths", "512", "--batch", "3", "--steps", "2",
        "--dtype", "float32", "--device", "cpu", "--quiet", "--out", str(out),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer_dir: Path) -> list[Path]:
    folder = tmp_path_factory.mktemp("checkpoints")
    return [make_checkpoint(folder / name, tiny_tokenizer_dir, name) for name in HEADS]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory, checkpoints: list[Path]) -> Path:
    """Both engines over two checkpoints, 3 rows of 512 tokens."""
    folder = tmp_path_factory.mktemp("cost")
    assert main(command(folder, *checkpoints)) == 0
    return folder


def numbers_of(out: Path) -> pandas.DataFrame:
    return pandas.read_csv(out / "cost.csv").set_index(["engine", "checkpoint"])


def test_vllms_cache_is_the_arithmetic_in_whole_blocks_and_eh_keeps_half(out: Path) -> None:
    numbers = numbers_of(out)
    for name, heads in HEADS.items():
        line = numbers.loc["vllm", name]
        a_token = 2 * 2 * heads * 32 * 4 / 2**20  # keys and values, layers, heads, head size, float32
        assert line["arithmetic_cache_mib"] == pytest.approx(3 * 512 * a_token)
        assert 3 * 512 * a_token <= line["cache_mib"] <= 3 * (512 + 2 * 128) * a_token
        assert line["peak_mib"] > line["cache_mib"]
        assert line["milliseconds"] > 0
        assert line["floor_milliseconds"] > 0
    for engine in ("native", "vllm"):
        assert numbers.loc[(engine, "rope"), "cache_mib_ratio"] == 1
        assert numbers.loc[(engine, "ropepp_eh"), "cache_mib_ratio"] == 0.5


def test_both_engines_stand_in_one_folder_and_in_one_picture(out: Path) -> None:
    assert set(read_rows(out)["checkpoint"]) == {"rope", "ropepp_eh", "rope~vllm", "ropepp_eh~vllm"}
    drawn = (out / "cost.svg").read_text()
    assert all(f"{name}, {engine}" in drawn for name in HEADS for engine in ("native", "vllm"))
    assert (out / "cost" / "vllm-engine.log").is_file()
    manifest = json.loads((out / "cost" / "run.json").read_text())
    assert {one["engine"] for one in manifest["identity"]["checkpoints"].values()} == {"native", "vllm"}


def test_cells_that_are_there_start_no_engine_and_other_ways_are_refused(
    out: Path, checkpoints: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in out.rglob("*.jsonl")}

    def none(*given: Any) -> Any:
        raise AssertionError("measured again")

    monkeypatch.setattr(execute, "_measured", none)
    assert main(command(out, *checkpoints, backend="vllm")) == 0
    assert set(numbers_of(out).index) == {("vllm", name) for name in HEADS}
    other = [part for part in command(out, *checkpoints, backend="vllm") if part != "--enforce-eager"]
    assert main(other) == 2
    assert "belongs to another run" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in out.rglob("*.jsonl")} == before


def test_an_engine_that_cant_start_is_a_failed_cell_with_its_reason(
    tmp_path: Path, checkpoints: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ropepp_eval.vllm_plugin.LOAD_FORMAT", "nothing-loads-this")
    assert main(command(tmp_path, checkpoints[0], backend="vllm")) == 2
    assert "cost: no row came out: the vLLM engine can't start" in capsys.readouterr().err
    (line,) = [line for path in tmp_path.rglob("*.jsonl") for line in path.read_text().splitlines()]
    assert json.loads(line)["error"]["type"] == "NoStart"


def test_a_shape_with_random_weights_goes_through_vllm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ropepp_eval.probes import sources

    shape = {
        "vocab_size": 512, "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "head_dim": 32,
    }  # fmt: skip
    monkeypatch.setattr(sources, "card_shape", lambda shape_name: shape)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    asked = command(tmp_path / "out", backend="vllm")
    assert main([*asked, "--shape", "tiny", "--position", "ropepp_ec"]) == 0
    (line,) = pandas.read_csv(tmp_path / "out" / "cost.csv").to_dict("records")
    assert (line["checkpoint"], line["engine"], line["position"]) == ("ropepp_ec-tiny", "vllm", "ropepp_ec")
    assert not list((tmp_path / "temporary").glob("ropepp-eval-shape-*"))


def test_a_model_that_vllm_would_compute_otherwise_is_refused_and_nothing_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jamba = next(family for family in FAMILIES if family.name == "Jamba").save(tmp_path / "jamba")
    capsys.readouterr()
    assert main(command(tmp_path / "out", jamba, backend="vllm")) == 2
    error = capsys.readouterr().err
    assert "use --backend native" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
