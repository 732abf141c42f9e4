"""The zoo's cards, checked by building every shape, and the commands that show and export checkpoints."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
import torch

from ropepp_eval import cli, inspect_checkpoint, load_checkpoint
from ropepp_eval.checkpoints import cards, folder
from ropepp_eval.checkpoints.card_info import info_of_card
from ropepp_eval.checkpoints.export import export_checkpoint
from ropepp_eval.checkpoints.reading import expected_shapes
from ropepp_eval.errors import UserError
from ropepp_eval.modeling import RopePPForCausalLM

SIZES = {"376M": (1024, 8, 8, 4, 3584), "776M": (1536, 12, 12, 6, 5376), "1_5B": (2048, 16, 16, 4, 7168)}


def test_there_is_a_card_for_each_of_the_24_published_checkpoints():
    both = [
        f"{kind}-DCLM-{size}-{length}"
        for kind in ("RoPE", "RoPEPP_EH", "RoPEPP_EC")
        for size in SIZES
        for length in ("4k", "32k")
    ]
    short = [f"{kind}-DCLM-{size}-4k" for kind in ("ALiBi", "FoPE", "Pythia") for size in ("376M", "776M")]
    assert {card.name for card in cards.list_cards()} == {*both, *short}
    assert len(cards.list_cards()) == 24


@pytest.mark.parametrize("card", cards.list_cards(), ids=lambda card: card.name)
def test_parameters_and_cache_of_a_card_are_those_of_its_shape(card):
    config = cards.config_of_card(card)
    assert card.parameters == sum(math.prod(shape) for shape in expected_shapes(config).values())
    assert card.kv_bytes_per_token == 2 * 2 * config.num_hidden_layers * config.heads.key_value * config.head_dim
    size = card.name.split("-")[2]
    fields = ("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "intermediate_size")
    assert tuple(card.shape[field] for field in fields) == SIZES[size]
    assert card.hub_id == f"SII-xrliu/{card.name}"
    assert card.base == (None if card.position == "alibi" else 10000 if card.name.endswith("-4k") else 500000)
    cards.check_card(card, config, card.parameters)


def test_rows_that_cards_fill_are_in_the_published_tables():
    import csv

    from ropepp_eval.paths import resource_dir

    published = resource_dir("results") / "published"
    if not (published / "table1.csv").is_file():
        pytest.skip("the published tables are not in results/published")
    for card in cards.list_cards():
        for row in card.published:
            with (published / f"{row['table']}.csv").open() as file:
                lines = list(csv.DictReader(line for line in file if not line.startswith("#")))
            wanted = {key: value for key, value in row.items() if key != "table"}
            assert sum(wanted.items() <= line.items() for line in lines) == 1, (card.name, row)


@pytest.fixture
def tiny_card(tmp_path, monkeypatch):
    """A card of a tiny EH checkpoint whose hub id leads to a local folder."""
    shape = {"vocab_size": 11, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2,
             "intermediate_size": 16}  # fmt: skip
    card = cards.Card(
        name="Tiny-EH", hub_id="someone/Tiny-EH", position="ropepp_eh", base=10000.0, trained_length_tokens=64,
        tokenizer="someone/words", tokenizer_note="", published=(), shape=shape, parameters=0, kv_bytes_per_token=0,
    )  # fmt: skip
    model = RopePPForCausalLM(cards.config_of_card(card))
    model.save_pretrained(tmp_path / "hub")
    known = {"Tiny-EH": cards.Card(**{**vars(card), "parameters": model.num_parameters()})}
    monkeypatch.setattr(cards, "_cards", lambda folder: known)
    monkeypatch.setattr(folder, "_fetched", lambda hub_id, revision: tmp_path / "hub")
    return known


def test_a_card_is_named_instead_of_a_folder(tiny_card):
    info = inspect_checkpoint("Tiny-EH")
    assert info.name == "Tiny-EH"
    assert info.evidence == ("card Tiny-EH says ropepp_eh",)
    assert load_checkpoint("Tiny-EH").num_parameters() == tiny_card["Tiny-EH"].parameters


def test_a_scaling_alone_stretches_the_embedding_that_a_card_or_a_config_tells(tiny_card, golden):
    assert inspect_checkpoint("Tiny-EH", position="+pi8").label == "ropepp_eh+pi8"
    assert info_of_card(tiny_card["Tiny-EH"], "+yarn32").label == "ropepp_eh+yarn32"
    info = inspect_checkpoint(golden / "ropepp_ec", position="+pi8")
    assert (info.label, info.evidence[0]) == ("ropepp_ec+pi8", "position= says scaling +pi8")
    with pytest.raises(UserError, match=r"scaling 'pi' is unknown; write pi8"):
        inspect_checkpoint(golden / "rope", position="+pi")


def test_a_card_says_what_its_files_would(tiny_card):
    said, found = info_of_card(tiny_card["Tiny-EH"]), inspect_checkpoint("Tiny-EH")
    other = {"folder", "name", "sha256", "by_card", "dtype", "stop_ids"}  # which shapes do not tell
    differing = {field.name for field in dataclasses.fields(said) if getattr(said, field.name) != getattr(found, field.name)}
    assert differing <= other


@pytest.mark.parametrize(("field", "value", "word"), [
    ("position", "ropepp_ec", "q_proj.weight is [16, 32]"), ("base", 5e5, "base 500000.0"),
    ("parameters", 7, "parameters 7"),
])  # fmt: skip
def test_a_card_that_the_checkpoint_contradicts_is_refused(tiny_card, field, value, word):
    tiny_card["Tiny-EH"] = cards.Card(**{**vars(tiny_card["Tiny-EH"]), field: value})
    with pytest.raises(UserError) as refused:
        inspect_checkpoint("Tiny-EH")
    assert "card Tiny-EH" in str(refused.value)
    assert word in str(refused.value)


def test_a_misspelt_card_is_refused_with_near_matches():
    with pytest.raises(UserError, match="did you mean RoPEPP_EC-DCLM-376M-32k"):
        inspect_checkpoint("RoPEPP_EC-DCLM-376M-32K")


def test_a_card_that_lacks_a_field_is_refused(tmp_path):
    (tmp_path / "half.yaml").write_text("name: half\npublished: []\n")
    with pytest.raises(UserError, match="hub_id"):
        cards._cards(tmp_path)


@pytest.mark.parametrize("name", ["ropepp_eh_yarn32", "fope", "pythia", "alibi"])
def test_an_exported_folder_says_by_itself_what_it_is(golden, tmp_path, name):
    target = export_checkpoint(golden / name, tmp_path / "out" / name)
    original, exported = inspect_checkpoint(golden / name), inspect_checkpoint(target)
    for field in ("position", "scaling", "base", "parameters", "dtype", "attention_heads", "kv_bytes_per_token"):
        assert getattr(exported, field) == getattr(original, field), field
    tokens = torch.arange(50)[None]
    with torch.no_grad():
        wanted = load_checkpoint(golden / name, dtype="float32")(tokens).logits
        assert torch.equal(load_checkpoint(target, dtype="float32")(tokens).logits, wanted)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [name]


def test_what_only_the_user_could_say_is_kept_by_an_export_with_its_tokenizer(golden, reference_tasks, tmp_path):
    target = export_checkpoint(reference_tasks / "lm_eval" / "model", tmp_path / "out", position="nope")
    info = inspect_checkpoint(target)
    assert (info.position, info.has_tokenizer) == ("nope", True)
    with pytest.raises(UserError, match="exists"):
        export_checkpoint(golden / "rope", target)


def test_the_commands_print_what_they_promise(golden, tmp_path, capsys):
    assert cli.main(["inspect", str(golden / "ropepp_ec_yarn32")]) == 0
    text = capsys.readouterr().out
    for word in (
        "ropepp_ec, stretched by yarn32",
        "imag_mode is imag2",
        "6 query, 2 key/value, 12 in attention",
        "256 bytes a token",
    ):
        assert word in text
    assert cli.main(["inspect", str(golden / "rope__no_rope_config"), "--position", "nope", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["position"] == "nope"
    assert cli.main(["models"]) == 0
    assert "RoPEPP_EC-DCLM-376M-32k  ropepp_ec  500,000  32,768" in " ".join(capsys.readouterr().out.split("\n")).replace(
        "   ", "  "
    )
    assert cli.main(["models", "Pythia-DCLM-376M-4k", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["position"] == "partial"
    assert cli.main(["export", str(golden / "fope"), str(tmp_path / "fope")]) == 0
    assert "fope, " in capsys.readouterr().out
    assert cli.main(["inspect", str(tmp_path / "absent")]) == 2
    assert capsys.readouterr().err.startswith("error: ")
