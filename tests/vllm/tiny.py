"""Tiny random checkpoints of head size 32, and the same questions for two adapters."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from ropepp_eval.adapters.answers import Answer
from ropepp_eval.adapters.encoding import Job, Span
from ropepp_eval.positions import parse_position

VOCABULARY = 512
LENGTHS = (1, 200, 4200)
TOLERANCE = 2e-4
ZOO = (
    "rope",
    "rope+pi8",
    "rope+yarn32",
    "ropepp_eh",
    "ropepp_ec",
    "ropepp_eh+pi8",
    "ropepp_ec+yarn32",
    "fope",
    "partial",
    "alibi",
    "nope",
)


def make_checkpoint(folder: Path, tokenizer_dir: Path, asked: str, *, seed: int = 0, **fields: Any) -> Path:
    """A random checkpoint of a position embedding, with weights large enough that positions and heads matter."""
    from ropepp_eval.modeling import RopePPConfig, RopePPForCausalLM

    kind, scaling, _ = parse_position(asked)
    rope: dict[str, Any] = {"rope_theta": 10000.0, "rope_type": "default"} if "base" in kind.__dataclass_fields__ else {}
    rope |= {} if scaling is None else scaling.to_rope_parameters()
    shape: dict[str, Any] = {
        "vocab_size": VOCABULARY, "hidden_size": 96, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 32, "max_position_embeddings": 8192, "tie_word_embeddings": False,
        "bos_token_id": 0, "eos_token_id": 0, "initializer_range": 0.2,
    }  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = RopePPConfig(**{**shape, **fields}, position=kind.name, rope_parameters=rope)
        RopePPForCausalLM(config).save_pretrained(folder)
    for file in tokenizer_dir.iterdir():
        shutil.copy(file, folder)
    return folder


def as_authors_publish(folder: Path, **fields: Any) -> Path:
    """Rewrite config.json as the authors' files have it: a Llama, with `fields` such as rope_config, or without a word."""
    ours = json.loads((folder / "config.json").read_text())
    kept = {k: v for k, v in ours.items() if k not in ("position", "position_settings", "rope_parameters", "architectures")}
    theirs = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "rope_theta": 10000.0,
        "use_cache": False,
        **fields,
    }
    (folder / "config.json").write_text(json.dumps({**kept, **theirs}))
    return folder


def change_slopes(folder: Path) -> None:
    """Give each layer of an ALiBi checkpoint slopes of its own, so that those of the formula would be seen to be wrong."""
    file = folder / "model.safetensors"
    tensors = load_file(file)
    names = sorted(name for name in tensors if name.endswith("alibi_slopes"))
    for layer, name in enumerate(names):
        tensors[name] = tensors[name] * (0.6 + 0.3 * layer)
    assert names
    save_file(tensors, file, metadata={"format": "pt"})


def scoring_jobs() -> list[Job]:
    """All tokens of texts of 1, 200 and 4,200 tokens scored (the first after one token), in one batch."""
    random = np.random.default_rng(7)
    texts = [random.integers(1, VOCABULARY, n + 1).astype(np.int32) for n in LENGTHS]
    return [Job(index=i, kind="sliding_window", prompt=ids, spans=(Span(ids, 1),)) for i, ids in enumerate(texts)]


def generation_jobs() -> list[Job]:
    """32 tokens after prompts of the same lengths."""
    return [
        Job(index=job.index, kind="generate_until", prompt=job.prompt[:length], budget=32)
        for job, length in zip(scoring_jobs(), LENGTHS, strict=True)
    ]


def answered(lm: Any, jobs: list[Job]) -> list[Answer]:
    """Answers of an adapter to jobs whose token ids are given rather than encoded from text, so that lengths are exact."""
    with patch.object(lm.encoder, "jobs", list):
        answers = dict(lm.answers(jobs))
    assert all(answer.error is None and answer.new_tokens > 0 for answer in answers.values())
    return [answers[job.index] for job in jobs]


def logprobs(lm: Any) -> list[np.ndarray[Any, Any]]:
    """Log-probabilities of every scored token, by job."""
    return [np.asarray(answer.response[0].logprobs) for answer in answered(lm, scoring_jobs())]


def continuations(lm: Any) -> list[str]:
    """Greedy continuations, by job."""
    return [answer.response for answer in answered(lm, generation_jobs())]
