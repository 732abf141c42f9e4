"""A record's key: every input of an answer changes it, what can't matter does not, and no row hangs on its company."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ropepp_eval
from ropepp_eval.errors import UserError
from ropepp_eval.runs.config import RunConfig
from ropepp_eval.runs.execute import execute, manifest_of
from ropepp_eval.runs.keys import record_key
from ropepp_eval.runs.plan import Plan, build_plan
from ropepp_eval.runs.store import RunStore
from tests.conftest import make_tiny_checkpoint

USUAL: dict[str, Any] = {"tasks": "niah_single_1", "lengths": "1k", "samples": 1, "dtype": "float32"}


def plan_of(*checkpoints: Any, **changes: Any) -> Plan:
    return build_plan(RunConfig.of(*checkpoints, **{**USUAL, **changes}))


def keys_of(*checkpoints: Any, **changes: Any) -> set[str]:
    plan = plan_of(*checkpoints, **changes)
    return {record_key(plan.computations[cell.checkpoint.label], row) for cell in plan.cells for row in cell.rows}


@pytest.fixture
def folder(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of the tiny checkpoint to change."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "tiny"))


def edit_json(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


@pytest.mark.parametrize(
    "changes",
    [
        {"tasks": "niah_single_2"},
        {"lengths": "2k"},
        {"seed": 7},
        {"protocol": "paper"},
        {"position": "nope"},
        {"position": "rope+pi2"},
        {"position": "rope:base=5e5"},
        {"dtype": "bfloat16"},
        {"attention": "eager"},
        {"adapter_options": {"deterministic": True}},
        {"adapter_options": {"truncate": "left"}},
        {"adapter_options": {"truncate": "middle"}},
        {"adapter_options": {"prefix_token_id": 5}},
        {"adapter_options": {"add_bos_token": True}},
        {"adapter_options": {"batch_size": 1}},
        {"adapter_options": {"chunk_tokens": 64}},
    ],
    ids=str,
)
def test_another_input_is_another_key(tiny_checkpoint: Path, changes: dict[str, Any]) -> None:
    assert not keys_of(tiny_checkpoint) & keys_of(tiny_checkpoint, **changes)


@pytest.mark.parametrize(
    "changes", [{"dtype": "float99"}, {"device": "cuda:77"}, {"adapter_options": {"speed": 3}}], ids=str
)
def test_an_input_that_can_not_be_is_refused_before_anything_runs(tiny_checkpoint: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=str(next(iter(changes.values()))).strip("{}'").partition("'")[0]):
        keys_of(tiny_checkpoint, **changes)


def change_weights(folder: Path) -> None:
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-2] ^= 1
    (folder / "model.safetensors").write_bytes(content)


CHANGED_FILES: dict[str, Callable[[Path], None]] = {
    "weights": change_weights,
    "norm epsilon": lambda folder: edit_json(folder / "config.json", rms_norm_eps=1e-5),
    "trained length": lambda folder: edit_json(folder / "config.json", max_position_embeddings=4096),
}


@pytest.mark.parametrize("what", CHANGED_FILES)
def test_another_file_is_another_key(folder: Path, what: str) -> None:
    before = keys_of(folder)
    CHANGED_FILES[what](folder)
    assert not before & keys_of(folder)


def test_the_code_of_an_embedding_of_ones_own_is_part_of_the_key(folder: Path, tmp_path: Path) -> None:
    from ropepp_eval.positions import registry
    from ropepp_eval.positions.base import Position

    module = tmp_path / "mine.py"
    module.write_text(
        "from dataclasses import dataclass\n"
        "from ropepp_eval.positions.base import Position\n"
        "from ropepp_eval.positions.registry import position\n\n\n"
        "@position('mine_for_keys')\n@dataclass(frozen=True)\nclass Mine(Position):\n    '''Nothing.'''\n"
    )
    registry.load_position_module(module)
    try:
        assert issubclass(registry.get_position("mine_for_keys"), Position)
        before = keys_of(folder, position="mine_for_keys")
        module.write_text(module.read_text() + "\n# another rotation\n")
        assert not before & keys_of(folder, position="mine_for_keys")
    finally:
        registry._REGISTRY.pop("mine_for_keys")


def test_what_can_not_matter_changes_no_key_and_no_folder(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usual = plan_of(tiny_checkpoint)
    monkeypatch.chdir(tiny_checkpoint.parent)
    same = [
        (f"{tiny_checkpoint}/", {}),
        (tiny_checkpoint.name, {}),
        (f"./{tiny_checkpoint.name}/../{tiny_checkpoint.name}", {}),
        (tiny_checkpoint, {"quiet": True}),
        (tiny_checkpoint, {"tokenizer": f"{tiny_checkpoint}/"}),
        (tiny_checkpoint, {"dtype": "torch.float32", "device": "cpu"}),
        (tiny_checkpoint, {"dtype": "auto"}),
        (tiny_checkpoint, {"adapter_options": {"max_gen_toks": "256"}}),
        (tiny_checkpoint, {"lengths": "1024"}),
    ]
    for checkpoint, changes in same:
        assert keys_of(checkpoint, **changes) == keys_of(tiny_checkpoint)
        assert plan_of(checkpoint, **changes).folder == usual.folder
    options = {"chunk_tokens": 64, "batch_size": 2}
    assert keys_of(tiny_checkpoint, adapter_options=options) == keys_of(
        tiny_checkpoint, adapter_options=dict(reversed(options.items()))
    )


def test_keys_do_not_hang_on_what_else_is_planned(tiny_checkpoint: Path, tmp_path: Path, tiny_tokenizer_dir: Path) -> None:
    other = make_tiny_checkpoint(tmp_path / "other", tiny_tokenizer_dir, seed=2)
    alone = keys_of(tiny_checkpoint)
    assert alone < keys_of(other, tiny_checkpoint, tasks="niah_single_1,babilong_qa1", lengths="1k,2k", samples=2)


def scores_of(out: Path) -> dict[tuple[str, int, int], Any]:
    lines = [json.loads(line) for path in sorted(out.glob("rows/*/*.jsonl")) for line in path.read_text().splitlines()]
    assert all(line["error"] is None for line in lines), [line["error"] for line in lines]
    return {(line["task"], line["length_tokens"], line["row"]): (line["key"], line["scores"]) for line in lines}


KINDS = ["niah_single_2", "babilong_qa1", "lambada", "lambada_filled", "openbookqa", "wikitext", "wikitext_positions"]
"""A task of each output type and window. The sliding ones name their window as `wikitext_positions` does; a whole corpus takes long."""


@pytest.mark.parametrize("task", KINDS)
def test_no_score_hangs_on_its_company(task: str, folder: Path, tmp_path: Path) -> None:
    """Alone, and beside a row twice as long as the checkpoint was made for."""
    edit_json(folder / "config.json", max_position_embeddings=1024)
    options = {
        "adapter_options": {"deterministic": True},
        "tasks": f"{task},niah_single_1",
        "lengths": "1k,2k",
        "quiet": True,
    }
    plan = plan_of(folder, **options, allow_beyond_trained_length=True)
    own = tuple(cell for cell in plan.cells if (cell.task.name, cell.length_tokens) == (task, 1024))
    longer = tuple(cell for cell in plan.cells if (cell.task.name, cell.length_tokens) == ("niah_single_1", 2048))
    found = []
    for number, cells in enumerate([own, (*own, *longer)]):
        part = dataclasses.replace(
            plan, cells=cells, config=dataclasses.replace(plan.config, out=str(tmp_path / str(number)))
        )
        with RunStore.open(part.folder, manifest_of(part)) as store:
            execute(part, store, say=lambda line: None)
        found.append(scores_of(part.folder))
    alone, company = found
    assert alone
    assert {name: company[name] for name in alone} == alone


def test_each_length_of_wikitext_has_its_own_window(tiny_checkpoint: Path, tmp_path: Path) -> None:
    ropepp_eval.evaluate(
        tiny_checkpoint, **{**USUAL, "tasks": "wikitext", "lengths": "64,128"}, out=tmp_path / "run", quiet=True
    )
    found = scores_of(tmp_path / "run")
    assert found["wikitext", 64, 0] != found["wikitext", 128, 0]
