"""Tiny random models, a tokenizer without files, and the slow, obvious way to score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lm_eval.api.instance import Instance
from transformers import LlamaConfig, LlamaForCausalLM

VOCABULARY = 96


class Letters:
    """A tokenizer of single characters: `a` is token 1; `~` is EOS (0). What `encode` gives, `decode` turns back."""

    bos_token_id = 0
    eos_token_id = 0
    name_or_path = "letters"

    def encode(self, text: str, add_special_tokens: bool = False) -> list[int]:
        return [0 if c == "~" else ord(c) - 31 for c in text]

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        return "".join("~" if i == 0 else chr(i + 31) for i in ids if i or not skip_special_tokens)


def tiny_llama(*, seed: int = 0, attention: str = "sdpa", **changes: Any) -> LlamaForCausalLM:
    """Two layers with weights large enough for attention to matter."""
    settings = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "initializer_range": 0.4,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "attn_implementation": attention,
        **changes,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlamaForCausalLM(LlamaConfig(**settings)).eval()


def instances(kind: str, *arguments: tuple[Any, ...]) -> list[Instance]:
    return [Instance(request_type=kind, doc={}, arguments=a, idx=i) for i, a in enumerate(arguments)]


@torch.no_grad()
def slow_score(model: Any, context: Sequence[int], continuation: Sequence[int]) -> tuple[float, bool]:
    """One forward pass over everything, full logits, log-softmax in float64."""
    ids = torch.tensor([[*context, *continuation]])
    logits = model(input_ids=ids[:, :-1], use_cache=False).logits[0, len(context) - 1 :].double()
    wanted = ids[0, len(context) :]
    return float(logits.log_softmax(-1)[range(len(wanted)), wanted].sum()), bool((logits.argmax(-1) == wanted).all())


@torch.no_grad()
def slow_generate(model: Any, prompt: Sequence[int], budget: int, end: int = 0) -> list[int]:
    """A full forward pass for each new token."""
    ids = list(prompt)
    while len(ids) < len(prompt) + budget:
        ids.append(int(model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
        if ids[-1] == end:
            break
    return ids[len(prompt) :]
