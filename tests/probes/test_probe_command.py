"""`ropepp-eval probe` and `figures`: bad input in one line, a killed probe that goes on, rows that every report reads."""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ropepp_eval.cli import main, probe
from ropepp_eval.probes import execute
from ropepp_eval.probes.output import PAPER_FIGURES
from ropepp_eval.reports.frame import read_results, read_rows
from tests.adapters.families import FAMILIES

ROOT = Path(__file__).resolve().parents[2]
EC, EH, ROPE = (str(ROOT / "models" / "demo" / name) for name in ("ropepp_ec", "ropepp_eh", "rope"))
ATTENTION = [
    "probe",
    "attention",
    EC,
    "--tasks",
    "niah_single_1",
    "--lengths",
    "256",
    "--samples",
    "2",
    "--dtype",
    "float32",
    "--offline",
]
ATTENTION += ["--device", "cpu", "--quiet"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Attention and noise of one model, coverage and cost of two, small."""
    out = tmp_path_factory.mktemp("probes")
    common = ["--offline", "--quiet", "--device", "cpu", "--out", str(out)]
    assert main([*ATTENTION, "--out", str(out)]) == 0
    small = [
        "--tasks",
        "niah_single_1",
        "--lengths",
        "256",
        "--samples",
        "1",
        "--deviations",
        "0,1.5",
        "--draws",
        "1",
        "--dtype",
        "float32",
    ]
    assert main(["probe", "noise", EC, *small, *common]) == 0
    assert main(["probe", "coverage", EC, ROPE, "--lengths", "512,1k", *common]) == 0
    assert main(["probe", "cost", ROPE, EH, "--lengths", "64,128", "--batch", "1,2", "--steps", "1", *common]) == 0
    return out


def test_each_kind_leaves_rows_numbers_and_pictures(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    for kind in ("attention", "noise", "coverage", "cost"):
        assert {kind, *(f"{kind}.{form}" for form in ("csv", "json", "png", "svg"))} <= names
    assert {"attention-maps.png", "attention-heads.png", "attention-depth.png"} <= names
    lines = json.loads((folder / "attention.json").read_text())
    assert {"checkpoint", "part", "measure", "role", "mean", "low", "high", "difference"} <= set(lines[0])


def test_reports_read_probes_like_any_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = read_rows(folder)
    assert set(rows["benchmark"]) == {"attention", "noise", "coverage", "cost"}
    assert {"ropepp_ec~real1.5", "ropepp_ec~imaginary1.5"} <= set(rows["checkpoint"])
    results = read_results(folder)
    assert results[results["metric"] == "retrieval_imaginary"]["value"].notna().all()
    assert main(["table", str(folder)]) == 0
    assert main(["compare", "ropepp_ec~real1.5", "ropepp_ec~imaginary1.5", str(folder)]) == 0
    assert "niah_single_1" in capsys.readouterr().out


def test_a_killed_probe_goes_on_where_it_stopped(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    record_of = execute.record_of

    def stop_after_one(*given: Any) -> Any:
        if made:
            raise KeyboardInterrupt
        made.append(given)
        return record_of(*given)

    monkeypatch.setattr(execute, "record_of", stop_after_one)
    assert main([*ATTENTION, "--out", str(tmp_path)]) == 130
    (file,) = tmp_path.glob("attention/rows/*/*.jsonl")
    first = file.read_bytes()
    assert first.count(b"\n") == 1
    monkeypatch.setattr(execute, "record_of", record_of)
    assert main([*ATTENTION, "--out", str(tmp_path)]) == 0
    assert file.read_bytes().startswith(first)
    assert (tmp_path / "attention.csv").read_bytes() == (folder / "attention.csv").read_bytes()


def test_figures_are_drawn_from_what_is_there_and_ask_for_the_rest(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["figures", str(folder), "--which", "3,4,5", "--out", str(tmp_path)]) == 0
    drawn = {path.name for path in tmp_path.iterdir()}
    assert drawn == {f"figure{number}.{form}" for number in (3, 4, 5) for form in ("png", "svg")}
    costs = (tmp_path / "figure4.svg").read_text()  # at the largest batch; what EH keeps is half, and drawn
    assert {"rope", "ropepp_eh"} <= {*re.findall(r">([^<>]+)</text>", costs)}
    assert "peak of memory (MiB), batch 2 (dotted: cache alone)" in costs
    assert "time of a step (ms), batch 2 (dotted: floor)" in costs
    looks = re.findall(r">([^<>]+)</text>", (tmp_path / "figure5.svg").read_text())  # maps left, noise right
    panels = [text for text in looks if text.startswith("ropepp_ec: ")]
    assert [text.split()[1] for text in panels] == ["real", "imaginary", "niah_single_1"]
    assert {"noise on real heads", "noise on imaginary heads", "standard deviation of the noise", "score (%)"} <= {*looks}
    capsys.readouterr()
    assert main(["figures", str(folder), "--which", "5,6", "--out", str(tmp_path / "none")]) == 2
    assert "figure 6 needs the probe extrapolation" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
    assert main(["figures", str(folder), "--which", "2"]) == 2
    assert main(["figures", str(tmp_path / "nowhere")]) == 2
    assert "not there" in capsys.readouterr().err


NEEDLE = ["--tasks", "niah_single_1", "--lengths", "256", "--samples", "1"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["attentoin", EC], "unknown probe 'attentoin'; did you mean attention?"),
        (["attention", EC, *NEEDLE, "--heads", "9:0"], "layer 9 is not there: checkpoint ropepp_ec has layers 0 to 3"),
        (
            ["attention", EC, *NEEDLE, "--heads", "0:8"],
            "head 8 of layer 0 is not there: checkpoint ropepp_ec attends with heads 0 to 7",
        ),
        (["attention", EC, *NEEDLE, "--heads", "0"], "head '0' is not written LAYER:HEAD"),
        (["attention", EC, *NEEDLE, "--map-row", "5"], "map row 5 is not there"),
        (["attention", EC, "--tasks", "babilong_qa1", "--lengths", "512"], "task babilong_qa1 hides no needle"),
        (["attention", EC, *NEEDLE, "--memory", "0.1"], "does not fit in memory"),
        (["attention", EC, *NEEDLE, "--memory", "-1"], "memory -1 GiB is not above 0"),
        (["attention", EC, *NEEDLE, "--deviations", "0"], "--deviations has no meaning for the probe attention"),
        (["attention", EC, "--lengths", "4k"], "too long"),
        (["attention", EC], "no context length was named"),
        (["noise", EC, *NEEDLE, "--deviations", "-0.5"], "deviation -0.5 is no standard deviation"),
        (["noise", EC, *NEEDLE, "--deviations", "much"], "deviation 'much' is no number"),
        (["noise", ROPE, *NEEDLE, "--target", "imaginary"], "checkpoint rope (rope) has no imaginary heads"),
        (["noise", EC, "--tasks", "wikitext_positions", "--lengths", "256"], "no mean over rows"),
        (["ablation", EC, *NEEDLE, "--heads", "4:0"], "layer 4 is not there"),
        (["ablation", ROPE, *NEEDLE, "--target", "imaginary"], "checkpoint rope (rope) has no imaginary heads"),
        (["ablation", EC, *NEEDLE, "--ways", "halves"], "unknown way 'halves'"),
        (["cost"], "takes checkpoints, or (cost) a shape"),
        (["cost", EC, "--batch", "0"], "batch 0 is below 1"),
        (["cost", EC, "--backend", "native,vlm"], "backend 'vlm' is not known; it may be native or vllm"),
        (["cost", EC, "--enforce-eager"], "--enforce-eager is vLLM's; add --backend vllm"),
        (["noise", EC, *NEEDLE, "--backend", "vllm"], "--backend has no meaning for the probe noise, only for cost"),
        (["cost", "--shape", "377M"], "unknown shape '377M'; did you mean"),
        (["coverage", EC, EC], "two checkpoints are called ropepp_ec"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "probes"
    assert main(["probe", *arguments, "--offline", "--device", "cpu", "--quiet", "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not out.exists()


@pytest.fixture(scope="module")
def qwen2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Qwen2, which runs through transformers' own class, with the demo's tokenizer."""
    family = next(family for family in FAMILIES if family.name == "Qwen2")
    out = tmp_path_factory.mktemp("qwen2")
    folder = dataclasses.replace(
        family, settings={**family.settings, "vocab_size": 2048, "bos_token_id": 0, "eos_token_id": 0}
    ).save(out / "qwen2")
    for file in (ROOT / "models" / "tokenizer").iterdir():
        shutil.copy(file, folder)
    return folder


@pytest.mark.parametrize("kind", ["attention", "curves", "noise", "ablation", "coverage"])
def test_heads_of_transformers_own_classes_are_refused_by_what_works_instead(
    kind: str, qwen2: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--lengths", "512"] if kind == "coverage" else NEEDLE
    assert main(["probe", kind, str(qwen2), *asked, "--offline", "--quiet", "--out", str(tmp_path / "probes")]) == 2
    error = capsys.readouterr().err
    assert "runs through transformers' Qwen2ForCausalLM" in error
    assert "the probes cost and extrapolation work with it" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "probes").exists()


def test_and_these_do_work_with_it(qwen2: Path, tmp_path: Path) -> None:
    common = ["--offline", "--quiet", "--device", "cpu", "--out", str(tmp_path)]
    assert main(["probe", "cost", str(qwen2), "--lengths", "64", "--batch", "2", "--steps", "1", *common]) == 0
    assert main(["probe", "extrapolation", str(qwen2), "--lengths", "256", "--samples", "1", *common]) == 0
    assert main(["figures", str(tmp_path), "--which", "4,6"]) == 0
    assert {"cost.png", "extrapolation.png", "figure4.png", "figure6.png"} <= {path.name for path in tmp_path.iterdir()}
    assert "$" not in (tmp_path / "figure6.svg").read_text()  # an axis' numbers are not written as mathematics


def test_make_figures_runs_all_that_the_papers_figures_need_and_keeps_them() -> None:
    """By what make would do: every probe's command is one that the parser takes, then the figures, then the copy."""
    planned = subprocess.run(
        ["make", "--no-print-directory", "-n", "figures"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    commands = [shlex.split(line) for line in planned if "/ropepp-eval" in line]
    parser = argparse.ArgumentParser()
    probe.add_arguments(parser)
    probes = [parser.parse_args(words[2:]) for words in commands if words[1] == "probe"]
    assert {kind for kinds in PAPER_FIGURES.values() for kind in kinds} | {"ablation"} == {one.kind for one in probes}
    assert commands[-1][1:] == ["figures", probes[0].out]
    assert all(one.out == probes[0].out for one in probes)
    (cost,) = (one for one in probes if one.kind == "cost")
    assert [Path(name).name for name in cost.checkpoints] == ["rope", "ropepp_ec", "ropepp_eh"]  # ratios are to the first
    assert f'cp "{probes[0].out}"/*.png' in planned[-1]


def test_other_settings_into_the_same_folder_are_refused_and_lose_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*.jsonl")}
    assert main([*ATTENTION, "--heads", "0:1", "--out", str(folder)]) == 2
    assert "belongs to another run (heads was" in capsys.readouterr().err
    assert (
        main(
            [
                "run",
                EC,
                *NEEDLE,
                "--dtype",
                "float32",
                "--offline",
                "--device",
                "cpu",
                "--quiet",
                "--out",
                str(folder / "attention"),
            ]
        )
        == 2
    )
    assert "belongs to another run" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in folder.rglob("*.jsonl")} == before
