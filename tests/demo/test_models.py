"""The committed demo models: what their cards say is so, they differ in the embedding alone, and they have learned something."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import ropepp_eval
from ropepp_eval import inspect_checkpoint
from ropepp_eval.demo.recipe import POSITIONS, SHAPE, TRAINED_LENGTH_TOKENS
from ropepp_eval.demo.zoo import TOLERANCE, check_model
from ropepp_eval.hashing import hash_file
from ropepp_eval.paths import resource_dir

FOLDER = resource_dir("models") / "demo"
MOST_BYTES = 3 * 2**20


def card_of(position: str) -> dict:
    return json.loads((FOLDER / position / "card.json").read_text())


def test_there_is_one_model_for_each_position_and_nothing_else() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(POSITIONS)


@pytest.mark.parametrize("position", POSITIONS)
def test_a_folder_is_what_its_card_says(position: str) -> None:
    folder, card, info = FOLDER / position, card_of(position), inspect_checkpoint(FOLDER / position)
    assert (info.position, info.max_position_embeddings) == (position, TRAINED_LENGTH_TOKENS)
    assert hash_file(folder / "model.safetensors") == card["weights_sha256"]
    assert (folder / "model.safetensors").stat().st_size <= MOST_BYTES
    assert (folder / "tokenizer.json").read_bytes() == (resource_dir("models") / "tokenizer" / "tokenizer.json").read_bytes()
    assert card["command"].startswith(f"ropepp-eval train-demo {position} ")
    assert len(card["losses"]) == card["settings"]["steps"]
    assert "generated text" in json.loads((folder / "config.json").read_text())["note"]


def test_the_models_differ_in_the_position_embedding_alone() -> None:
    cards = [card_of(position) for position in POSITIONS]
    for card in cards:
        assert card["settings"].pop("position") in POSITIONS
        assert card["settings"]["shape"] == SHAPE
    for key in ("settings", "optimiser", "data_sha256", "tokens_seen", "tokenizer_sha256", "versions"):
        assert all(card[key] == cards[0][key] for card in cards), key


def test_eh_keeps_half_of_ropes_cache_and_ec_all_of_it() -> None:
    rope, half, equal = (inspect_checkpoint(FOLDER / name).kv_bytes_per_token for name in ("rope", "ropepp_eh", "ropepp_ec"))
    assert (2 * half, equal) == (rope, rope)


@pytest.mark.slow
@pytest.mark.parametrize("position", ["rope", "ropepp_ec"])
def test_the_first_steps_trained_anew_have_the_cards_losses(position: str) -> None:
    found = check_model(FOLDER / position, 4)
    assert found.passed
    assert found.largest_difference <= TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "length", "least"), [("niah_single_1", "256", 90), ("niah_single_1", "512", 90), ("babilong_qa1", "512", 70)]
)
def test_rope_and_ec_find_what_they_read_within_the_trained_length(
    task: str, length: str, least: float, tmp_path: Path
) -> None:
    frame = ropepp_eval.evaluate(
        FOLDER / "rope", FOLDER / "ropepp_ec", tasks=task, lengths=length, samples=40, dtype="float32", out=tmp_path / "run",
        quiet=True, offline=True,
    )  # fmt: skip
    scores = frame[frame["metric"] == frame["metric"].iloc[0]]
    assert sorted(scores["checkpoint"]) == ["rope", "ropepp_ec"]
    assert (100 * scores["value"] >= least).all(), scores.to_string()
