"""Training demo models: losses fall, the same curve twice, an interrupted training ends as an uninterrupted one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from ropepp_eval import inspect_checkpoint, load_checkpoint
from ropepp_eval.demo import curriculum, training, zoo
from ropepp_eval.demo.recipe import POSITIONS
from ropepp_eval.demo.training import Settings, Training, first_losses
from ropepp_eval.errors import Interrupted

SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
}


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four rows a batch instead of thousands of tokens, and as many threads afterwards as before."""
    few = tuple(
        curriculum.Stage(share=s.share, length_tokens=s.length_tokens, rows=2, first=s.first, rest=s.rest)
        for s in curriculum.STAGES
    )
    monkeypatch.setattr(curriculum, "STAGES", few)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def settings(position: str = "rope", **other: Any) -> Settings:
    return Settings(position=position, compiled=False, shape=SHAPE, **{"steps": 12, **other})


@pytest.mark.parametrize("position", POSITIONS)
def test_the_loss_falls_for_every_position(position: str) -> None:
    losses = first_losses(settings(position, steps=40), zoo.demo_tokenizer(), 16)
    assert sum(losses[-4:]) < sum(losses[:4]) - 1


@pytest.mark.parametrize("position", ["rope", "fope"])
def test_the_same_settings_give_the_same_curve_to_the_bit_and_another_seed_another(position: str) -> None:
    first, again = (first_losses(settings(position), zoo.demo_tokenizer(), 5) for _ in range(2))
    assert first == again
    assert first != first_losses(settings(position, seed=9), zoo.demo_tokenizer(), 5)


def test_all_positions_read_the_same_text() -> None:
    hashes = set()
    for position in ("rope", "ropepp_ec", "nope"):
        one = Training(settings(position), zoo.demo_tokenizer())
        for _ in range(3):
            one.step()
        hashes.add(one.progress.data_sha256)
    assert len(hashes) == 1


def test_an_interrupted_training_ends_with_the_weights_of_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "SAVE_EVERY", 3)
    [whole] = zoo.train_models([settings()], tmp_path / "whole", say=str)

    real, left = Training.step, [8]

    def ctrl_c_after_eight(self: Training) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        real(self)

    monkeypatch.setattr(Training, "step", ctrl_c_after_eight)
    with pytest.raises(Interrupted, match="goes on"):
        zoo.train_models([settings()], tmp_path / "broken", say=str)
    assert not (tmp_path / "broken" / "rope").exists()
    monkeypatch.setattr(Training, "step", real)
    said: list[str] = []
    [resumed] = zoo.train_models([settings()], tmp_path / "broken", say=said.append)
    assert any("goes on after step 6" in line for line in said)
    cards = [json.loads((folder / "card.json").read_text()) for folder in (whole, resumed)]
    for card in cards:
        del card["seconds"]
    assert cards[0] == cards[1]
    assert [p.name for p in resumed.parent.iterdir()] == ["rope"]


def test_a_state_of_other_settings_or_a_broken_one_is_not_gone_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "SAVE_EVERY", 2)
    training.train(settings(steps=3), zoo.demo_tokenizer(), tmp_path, say=str)
    said: list[str] = []
    training.train(settings(steps=3, seed=9), zoo.demo_tokenizer(), tmp_path, said.append)
    assert not any("goes on" in line for line in said)
    (tmp_path / "state.safetensors").write_bytes(b"half of a file")
    assert training.train(settings(steps=3), zoo.demo_tokenizer(), tmp_path, said.append).progress.step == 3
    assert not any("goes on" in line for line in said)


@pytest.mark.parametrize("position", ["ropepp_ec", "fope"])
def test_the_folder_is_a_checkpoint_with_a_card_that_the_check_confirms(position: str, tmp_path: Path) -> None:
    [folder] = zoo.train_models([settings(position)], tmp_path, say=str)
    info = inspect_checkpoint(folder)
    assert (info.position, info.max_position_embeddings) == (position, 512)
    assert "generated text" in json.loads((folder / "config.json").read_text())["note"]
    assert load_checkpoint(folder).dtype == torch.bfloat16
    card = json.loads((folder / "card.json").read_text())
    assert card["tokens_seen"] == sum(
        stage.rows * stage.length_tokens for stage in (curriculum.stage_of(step, 12) for step in range(12))
    )
    assert (folder / "loss.png").read_bytes().startswith(b"\x89PNG")
    found = zoo.check_model(folder, 4)
    assert found.passed
    assert found.largest_difference == 0.0


def test_the_check_finds_other_weights_and_another_curve(tmp_path: Path) -> None:
    [folder] = zoo.train_models([settings()], tmp_path, say=str)
    card = json.loads((folder / "card.json").read_text())
    card["losses"][2] += 0.05
    (folder / "card.json").write_text(json.dumps(card))
    found = zoo.check_model(folder, 4)
    assert not found.passed
    assert found.largest_difference == pytest.approx(0.05)
    (folder / "model.safetensors").write_bytes(b"other weights")
    assert not zoo.check_model(folder, 1).weights_as_carded
