"""`ropepp-eval reproduce` with tiny checkpoints under the published names, from the hub on loopback."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import pytest

from ropepp_eval.checkpoints import cards
from ropepp_eval.cli import main
from ropepp_eval.reports import paper
from ropepp_eval.reports.published import PublishedNames, published_names
from ropepp_eval.runs.options import read_options
from tests.hub.loopback import Hub, Repository

SHAPE = {"vocab_size": 512, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2,
         "intermediate_size": 48}  # fmt: skip
ROPE_CONFIG = {
    "rope": None,
    "ropepp_eh": {"imag": True, "imag_mode": "imag1"},
    "ropepp_ec": {"imag": True, "imag_mode": "imag2"},
}


@pytest.fixture
def published(hub: Hub, tmp_path: Path, tiny_tokenizer_dir: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, cards.Card]:
    """The cards of 376M with the shape of tiny checkpoints; those of Table 2 the hub has in the authors' form, and their tokenizer."""
    from ropepp_eval.checkpoints.reading import expected_shapes
    from ropepp_eval.modeling import RopePPForCausalLM

    known: dict[str, cards.Card] = {}
    for real in cards.list_cards():
        if "-376M-" in real.name and real.position in ROPE_CONFIG:
            card = real.model_copy(update={"shape": SHAPE})
            config = cards.config_of_card(card)
            parameters = sum(math.prod(shape) for shape in expected_shapes(config).values())
            known[card.name] = card.model_copy(update={"parameters": parameters})
            if card.name.endswith("4k"):
                continue
            RopePPForCausalLM(config).save_pretrained(tmp_path / card.name)
            theirs = {**SHAPE, "model_type": "llama", "architectures": ["LlamaForCausalLM"], "rope_theta": card.base,
                      "max_position_embeddings": card.trained_length_tokens, "rope_config": ROPE_CONFIG[card.position],
                      "tie_word_embeddings": False, "bos_token_id": 0, "eos_token_id": 0}  # fmt: skip
            weights = (tmp_path / card.name / "model.safetensors").read_bytes()
            files = {"config.json": json.dumps(theirs).encode(), "model.safetensors": weights}
            hub.repositories[card.hub_id] = Repository(files)
    words = {path.name: path.read_bytes() for path in tiny_tokenizer_dir.iterdir()}
    hub.repositories[next(iter(known.values())).tokenizer] = Repository(words)
    monkeypatch.setattr(cards, "_cards", lambda folder: known)
    names, size = published_names(), known["RoPE-DCLM-376M-32k"].parameters
    monkeypatch.setattr(paper, "published_names", lambda: PublishedNames({"376M": size}, names.methods, names.scalings, {}))
    return known


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with two of BABILong's published rows a task at 2k."""
    for task in range(1, 11):
        file = tmp_path / "data/babilong/data" / f"qa{task}" / "2k.json"
        file.parent.mkdir(parents=True)
        rows = [
            {"input": f"Mary went to the {place}.", "question": "Where is Mary?", "target": place}
            for place in ("hall", "park")
        ]
        file.write_text(json.dumps(rows))
    return tmp_path / "data"


def test_a_table_is_run_by_its_files_of_options_and_printed_beside_the_published_one(
    published: dict[str, cards.Card], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "table2"
    command = ["reproduce", "table2", "--size", "376M", "--lengths", "2k", "--samples", "1", "--data-dir", str(data), "--dtype",
               "float32", "--out", str(out), "--quiet"]  # fmt: skip
    assert main([*command, "--format", "csv"]) == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [line["source"] for line in lines] == ["measured", "published", "difference"] * 3
    assert [line["method"] for line in lines[::3]] == ["RoPE", "RoPE++_EH", "RoPE++_EC"]
    assert [line["BABILong 2k"] for line in lines[1::3]] == ["17.7", "14.1", "19.8"]
    assert all(line["BABILong 2k"] and not line["RULER 4k"] for line in lines[::3])

    assert sorted(path.name for path in out.iterdir()) == ["babilong", "babilong.yaml"]
    options = read_options(out / "babilong.yaml")
    assert options.checkpoints == ("RoPE-DCLM-376M-32k", "RoPEPP_EH-DCLM-376M-32k", "RoPEPP_EC-DCLM-376M-32k")
    assert (options.protocol, options.samples, options.lengths) == ("paper", 1, ("2k",))
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.jsonl")}
    assert len(before) == 30
    assert main(["run", "--config", str(out / "babilong.yaml"), "--quiet", "--format", "none"]) == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.jsonl")} == before


@pytest.mark.parametrize(
    ("table", "parts"),
    [
        ("table1", ["short"]),
        ("table2", ["babilong"]),
        ("table3", ["babilong-pi8", "babilong-yarn32"]),
    ],
)
def test_a_dry_run_fetches_tokenizers_and_no_weights(
    table: str,
    parts: list[str],
    hub: Hub,
    published: dict[str, cards.Card],
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "planned"
    asked = [] if table == "table1" else ["--lengths", "2k", "--data-dir", str(data)]
    assert main(["reproduce", table, "--size", "376M", "--samples", "1", "--dry-run", "--out", str(out), *asked]) == 0
    said = capsys.readouterr().out
    assert [line for line in said.splitlines() if line.startswith("#")] == [f"# {out}/{part}.yaml" for part in parts]
    assert said.count("assumed: NVIDIA H100 SXM:") == said.count("protocol: paper") == len(parts)
    assert " ".join(said.split()).count("not fetched, taken as their cards describe them: RoPE-DCLM-376M-") == len(parts)
    assert ("stretched here without that training" in said) == (table == "table3")
    assert not [path for path in hub.sent if path.endswith(".safetensors")]
    assert not out.exists()
