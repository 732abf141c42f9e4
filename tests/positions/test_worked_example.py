"""The file that docs/positions.md shows adds a position embedding that everything else accepts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from transformers import DynamicCache

from ropepp_eval import cli, inspect_checkpoint, load_checkpoint
from ropepp_eval.modeling import RopePPConfig, RopePPForCausalLM
from ropepp_eval.positions import load_position_module, positions, registry

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def example(tmp_path, monkeypatch):
    """The worked example as a file, and a registry that forgets it afterwards."""
    positions()
    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))
    monkeypatch.setattr(registry, "_loaded_files", set())
    (source,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "positions.md").read_text(), re.DOTALL)
    file = tmp_path / "log_bias.py"
    file.write_text(source)
    return file


@pytest.fixture
def checkpoint(example, tmp_path):
    """A tiny untrained checkpoint of the example, with the demo's tokenizer."""
    import shutil

    load_position_module(example)
    demo = ROOT / "models" / "demo" / "rope"
    shape = json.loads((demo / "config.json").read_text())
    fields = (
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "max_position_embeddings",
        "bos_token_id",
        "eos_token_id",
        "pad_token_id",
    )
    torch.manual_seed(0)
    config = RopePPConfig(position="log_bias", position_settings={"strongest": 2.0}, **{f: shape.get(f) for f in fields})
    RopePPForCausalLM(config).save_pretrained(tmp_path / "log_bias")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if (demo / name).is_file():
            shutil.copyfile(demo / name, tmp_path / "log_bias" / name)
    return tmp_path / "log_bias"


def test_it_is_recognised_with_its_settings(checkpoint):
    info = inspect_checkpoint(checkpoint)
    assert info.position == "log_bias"
    assert load_checkpoint(checkpoint).config.position_embedding.strongest == 2.0


@torch.no_grad()
def test_its_bias_works_in_every_kernel_and_with_a_cache(checkpoint):
    tokens = torch.arange(5, 45)[None]
    models = {kernel: load_checkpoint(checkpoint, dtype="float32", attention=kernel) for kernel in ("eager", "sdpa")}
    whole = models["sdpa"](tokens).logits
    assert (models["eager"](tokens).logits - whole).abs().max() < 1e-4
    cache = DynamicCache(config=models["sdpa"].config)
    parts = [models["sdpa"](piece, past_key_values=cache).logits for piece in tokens.split([30, 1, 9], dim=1)]
    assert (torch.cat(parts, dim=1) - whole).abs().max() < 1e-4
    reversed_logits = models["sdpa"](torch.cat((tokens[:, :-1].flip(1), tokens[:, -1:]), dim=1)).logits
    assert (reversed_logits[:, -1] - whole[:, -1]).abs().max() > 1e-6, "the order of the tokens does not matter"


def test_inspect_and_run_accept_it(checkpoint, example, tmp_path, capsys):
    assert cli.main(["inspect", str(checkpoint), "--position-module", str(example)]) == 0
    assert "position        log_bias" in capsys.readouterr().out
    arguments = ["--position-module", str(example), "--tasks", "niah_single_1", "--lengths", "512", "--samples", "1"]
    arguments += ["--out", str(tmp_path / "run"), "--offline", "--device", "cpu"]
    assert cli.main(["run", str(checkpoint), *arguments]) == 0
    rows = [json.loads(line) for line in next((tmp_path / "run" / "rows").rglob("*.jsonl")).read_text().splitlines()]
    assert [row["position"] for row in rows] == ["log_bias"]
    assert rows[0]["error"] is None
    capsys.readouterr()
    assert cli.main(["table", str(tmp_path / "run")]) == 0
    assert "log_bias" in capsys.readouterr().out
