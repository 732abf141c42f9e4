"""Log-probabilities of needed positions only, in float32."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

HEAD_BLOCK_ELEMENTS = 1 << 25
"""Logits computed at once: 32 M elements, 128 MiB in float32."""


def target_logprobs(head: Any, hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities of `targets` after `hidden`, without ever holding logits of all positions.

    Args:
        head: the model's output projection, [N, hidden] -> [N, vocabulary].
        hidden: [N, hidden], final hidden states of the N positions before the targets.
        targets: int64 [N].

    Returns:
        float32 [N] natural log-probabilities; bool [N], whether the target is the most likely token.
    """
    vocabulary = head.weight.shape[0]
    block = max(1, HEAD_BLOCK_ELEMENTS // vocabulary)
    logprobs, greedy = [], []
    for part, wanted in zip(torch.split(hidden, block), torch.split(targets, block), strict=True):
        logits = head(part).float()
        chosen = logits.gather(-1, wanted[:, None])[:, 0]
        logprobs.append(chosen - logits.logsumexp(-1))
        greedy.append(logits.argmax(-1) == wanted)
    return torch.cat(logprobs), torch.cat(greedy)
