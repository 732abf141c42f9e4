"""What all demo models share: shape, optimiser and schedule. Nothing here depends on the position embedding."""

from __future__ import annotations

import math
from typing import Any

POSITIONS = ("rope", "ropepp_eh", "ropepp_ec", "fope", "partial", "alibi", "nope")
STEPS = 2300
SEED = 8
TRAINED_LENGTH_TOKENS = 512
MATRIX_LEARNING_RATE = 0.015
"""Peak of Muon's, which corrects the matrices inside the layers."""
OTHER_LEARNING_RATE = 2e-3
"""Peak of AdamW's, for the embedding and the norms."""
FINAL_SHARE = 0.05
WARM_UP_STEPS = 60
MOMENTUM = 0.95
BETAS = (0.9, 0.95)
GRADIENT_NORM = 1.0
INITIAL_DEVIATION = 0.088
"""Of every weight, 1 / sqrt(hidden size): with the usual 0.02 a tied embedding this narrow loses its differences in the first steps."""
SHAPE: dict[str, Any] = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
}


def rate_share(step: int, steps: int) -> float:
    """The share of both peak learning rates at a step: linear warm-up, then a cosine down to a twentieth."""
    warm_up = min(WARM_UP_STEPS, max(1, steps // 10))
    if step < warm_up:
        return (step + 1) / warm_up
    done = (step - warm_up) / max(1, steps - warm_up)
    return FINAL_SHARE + (1 - FINAL_SHARE) * 0.5 * (1 + math.cos(math.pi * done))


def new_model(position: str, vocabulary: int, seed: int, shape: dict[str, Any] | None = None) -> Any:
    """A fresh `RopePPForCausalLM` in training mode; what a position embedding stores is drawn here, once."""
    import torch

    from ropepp_eval.modeling import RopePPConfig, RopePPForCausalLM

    settings = {"trained_length": TRAINED_LENGTH_TOKENS} if position == "fope" else {}
    config = RopePPConfig(
        position=position,
        position_settings=settings,
        vocab_size=vocabulary,
        max_position_embeddings=TRAINED_LENGTH_TOKENS,
        rope_parameters={"rope_theta": 10000.0, "rope_type": "default"},
        tie_word_embeddings=True,
        initializer_range=INITIAL_DEVIATION,
        bos_token_id=0,
        eos_token_id=0,
        **(SHAPE if shape is None else shape),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = RopePPForCausalLM(config).train()
        shared = INITIAL_DEVIATION * torch.randn(config.hidden_size)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):  # what is added to the residual stream
                parameter.div_(math.sqrt(2 * config.num_hidden_layers))
        # without biases, only what all tokens share lets a head look at a place whatever stands there; logits do not change by it
        model.model.embed_tokens.weight.add_(shared)
    return model


def optimisers_of(model: Any) -> list[Any]:
    """Muon for the matrices inside the layers, AdamW for embedding and norms; no weight decay, each token is read once."""
    import torch

    named = dict(model.named_parameters())
    matrices = [parameter for name, parameter in named.items() if parameter.dim() == 2 and "embed" not in name]
    others = [parameter for name, parameter in named.items() if parameter.dim() != 2 or "embed" in name]
    return [
        torch.optim.Muon(matrices, lr=MATRIX_LEARNING_RATE, momentum=MOMENTUM, weight_decay=0.0),
        torch.optim.AdamW(others, lr=OTHER_LEARNING_RATE, betas=BETAS, weight_decay=0.0, foreach=True),
    ]


def set_rates(optimisers: list[Any], share: float) -> None:
    """Set both learning rates to this share of their peaks."""
    for optimiser, peak in zip(optimisers, (MATRIX_LEARNING_RATE, OTHER_LEARNING_RATE), strict=True):
        for group in optimiser.param_groups:
            group["lr"] = peak * share
