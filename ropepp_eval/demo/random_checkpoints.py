"""The random checkpoints under `models/random`: RoPE, RoPE++_EH and RoPE++_EC of one shape, for trying the tool.

    python -m ropepp_eval.demo.random_checkpoints models/random

Their weights are drawn from fixed seeds and never trained, so every score they get is luck; the config says so in `note`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

POSITIONS = ("rope", "ropepp_eh", "ropepp_ec")
NOTE = "random weights, never trained: every score is luck"
SEED = 20251207


def write_random_checkpoints(folder: Path) -> list[Path]:
    """Write one checkpoint folder for each position, in our form, with the demo's tokenizer."""
    import torch

    from ropepp_eval.demo.tokenizer import train_tokenizer
    from ropepp_eval.modeling import RopePPConfig, RopePPForCausalLM

    tokenizer = train_tokenizer()
    written = []
    for position in POSITIONS:
        config = RopePPConfig(
            position=position,
            vocab_size=len(tokenizer),
            hidden_size=128,
            intermediate_size=256,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=32,
            max_position_embeddings=65536,
            rope_parameters={"rope_theta": 500000.0, "rope_type": "default"},
            tie_word_embeddings=True,
            bos_token_id=0,
            eos_token_id=0,
        )
        with torch.random.fork_rng():
            torch.manual_seed(SEED)
            model = RopePPForCausalLM(config).to(torch.bfloat16)
        target = folder / position
        model.save_pretrained(target)
        tokenizer.save_pretrained(target)
        _add_note(target / "config.json")
        written.append(target)
    return written


def _add_note(path: Path) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, "note": NOTE}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    for place in write_random_checkpoints(Path(sys.argv[1])):
        print(place)
