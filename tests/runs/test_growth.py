"""A run folder grows, shows what was asked, and refuses only what would change the answers in it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import ropepp_eval
from ropepp_eval.cli import main
from ropepp_eval.errors import UserError
from ropepp_eval.records import line_of
from tests.conftest import make_tiny_checkpoint

SMALL: dict[str, Any] = {"tasks": "niah_single_1", "lengths": "512", "samples": 2, "dtype": "float32", "quiet": True}


def run(*checkpoints: Path, out: Path, **changes: Any) -> Any:
    return ropepp_eval.evaluate(*checkpoints, out=out, **{**SMALL, **changes})


def manifest_of(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "run.json").read_text())
    return content


def files_of(out: Path) -> dict[Path, bytes]:
    return {path.relative_to(out): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def rows_of(frame: Any) -> dict[tuple[str, str, int], int]:
    primary = frame[frame["primary"]]
    names = zip(primary["checkpoint"], primary["task"], primary["length_tokens"], strict=True)
    return dict(zip(names, primary["rows"], strict=True))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer_dir: Path) -> Path:
    """Another checkpoint of the same name."""
    return make_tiny_checkpoint(tmp_path_factory.mktemp("other") / "tiny", tiny_tokenizer_dir, seed=2)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Path:
    """A finished run of two rows of one cell; tests copy it."""
    out = tmp_path_factory.mktemp("grown") / "run"
    run(tiny_checkpoint, out=out)
    return out


@pytest.fixture
def out(first: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(first, tmp_path / "run"))


def test_more_rows_lengths_tasks_and_checkpoints_go_on_from_what_is_there(
    out: Path, tiny_checkpoint: Path, other: Path
) -> None:
    cell = next(out.glob("rows/*/niah_single_1@512.jsonl"))
    before = cell.read_bytes()
    assert rows_of(run(tiny_checkpoint, out=out, samples=3)) == {("tiny", "niah_single_1", 512): 3}
    assert cell.read_bytes().startswith(before)
    grown = run(tiny_checkpoint, out=out, lengths="512,1k", tasks="niah_single_1,niah_single_2")
    assert rows_of(grown)["tiny", "niah_single_2", 1024] == 2
    assert rows_of(grown)["tiny", "niah_single_1", 512] == 2, "asked for two of the three"
    added = rows_of(run(other, out=out))
    ((label, *_),) = added
    assert label != "tiny", "the name is taken, and stays with whom it was given to"
    together = rows_of(run(tiny_checkpoint, other, out=out))
    assert {name for name, *_ in together} == {"tiny", label}
    manifest = manifest_of(out)
    assert {(one["checkpoint"], one["task"], one["length_tokens"]): one["samples"] for one in manifest["cells"]} == {
        ("tiny", "niah_single_1", 512): 3, ("tiny", "niah_single_1", 1024): 2, ("tiny", "niah_single_2", 512): 2,
        ("tiny", "niah_single_2", 1024): 2, (label, "niah_single_1", 512): 2,
    }  # fmt: skip
    assert [one["arguments"]["samples"] for one in manifest["history"]] == [2, 3, 2, 2]
    assert manifest["status"] == "success"
    everything = ropepp_eval.read_results(out)
    assert everything[everything["primary"]]["rows"].sum() == 3 + 2 + 2 + 2 + 2


def test_fewer_just_shows_what_was_asked(out: Path, tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tiny_checkpoint, out=out, lengths="512,1k", samples=3)
    before = files_of(out)
    assert rows_of(run(tiny_checkpoint, out=out, lengths="1k", samples=1)) == {("tiny", "niah_single_1", 1024): 1}
    arguments = ["--tasks", "niah_single_1", "--lengths", "1k", "--samples", "1", "--dtype", "fp32", "--format", "csv"]
    assert main(["run", str(tiny_checkpoint), *arguments, "--out", str(out), "--quiet"]) == 0
    printed = capsys.readouterr().out
    assert ",checkpoint,1k,average" in printed
    assert ",tiny,0,0,1\n" in printed
    assert main(["run", str(tiny_checkpoint), *arguments, "--out", str(out), "--quiet", "--format", "none"]) == 0
    assert capsys.readouterr().out == ""
    assert files_of(out) == before


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dtype": "bf16"}, "dtype was float32, is bfloat16"),
        ({"attention": "eager"}, "attention was sdpa, is eager"),
        ({"seed": 7, "samples": 5}, "seed was 42, is 7"),
        ({"protocol": "paper", "lengths": "1k"}, "protocol was reference, is paper"),
        ({"position": "rope+pi8"}, "position was rope, is rope+pi8"),
        ({"adapter_options": {"chunk_tokens": 64}}, "chunk_tokens was none, is 64"),
    ],
    ids=str,
)
def test_what_would_change_an_answer_is_refused_in_words(
    changes: dict[str, Any], said: str, out: Path, tiny_checkpoint: Path
) -> None:
    before = files_of(out)
    with pytest.raises(UserError, match=rf"belongs to another run \({re.escape(said)}\); choose another --out") as told:
        run(tiny_checkpoint, out=out, **changes)
    assert not re.search(r"[0-9a-f]{8}", str(told.value).partition(" belongs ")[2])
    assert files_of(out) == before


def test_other_weights_under_the_same_name_are_refused(
    out: Path, tiny_checkpoint: Path, other: Path, tmp_path: Path
) -> None:
    mine = Path(shutil.copytree(tiny_checkpoint, tmp_path / "mine"))
    run(mine, out=tmp_path / "new")
    shutil.copy(other / "model.safetensors", mine / "model.safetensors")
    with pytest.raises(UserError, match=r"\(the files of the checkpoint are not what they were\); choose"):
        run(mine, out=tmp_path / "new")


def test_rows_that_ask_something_else_now_are_refused(out: Path, tiny_checkpoint: Path) -> None:
    """As a folder that was made with a corpus, or by another release's tasks."""
    manifest = manifest_of(out)
    manifest["arguments"]["data_dir"] = "corpora"
    (out / "run.json").write_text(json.dumps(manifest))
    cell = next(out.glob("rows/*/niah_single_1@512.jsonl"))
    records = [json.loads(line) for line in cell.read_bytes().splitlines()]
    for record in records:
        del record["checksum"]
    cell.write_bytes(
        b"".join(line_of({**one, "row_sha256": f"other {one['row']}", "key": f"{one['row']}"}) for one in records)
    )
    before = files_of(out)
    wanted = (
        r"\(row 0 of niah_single_1 at 512 asks something else now: data_dir was corpora, is none\); choose another --out"
    )
    with pytest.raises(UserError, match=wanted):
        run(tiny_checkpoint, out=out)
    assert files_of(out) == before


def test_a_smaller_run_does_not_make_an_unfinished_one_finished(out: Path, tiny_checkpoint: Path) -> None:
    run(tiny_checkpoint, out=out, samples=5)
    cell = next(out.glob("rows/*/niah_single_1@512.jsonl"))
    cell.write_bytes(b"".join(cell.read_bytes().splitlines(keepends=True)[:1]))
    manifest = manifest_of(out)
    (out / "run.json").write_text(json.dumps({**manifest, "status": "cancelled", "finished": None}))
    run(tiny_checkpoint, out=out, samples=2)
    assert manifest_of(out)["status"] == "cancelled"
    run(tiny_checkpoint, out=out, samples=5)
    assert manifest_of(out)["status"] == "success"
