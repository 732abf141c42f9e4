"""Products of few rows with large float32 matrices on a CPU, which are most of a step of generation.

torch asks its library for rows times weights in one call, which reads the weights with one thread where there is a single row, and for some
rows takes several times as long as memory does. Asked for weights times rows, in blocks of the weights, the same library keeps every thread
busy (`benchmarks/decode.py --products` times both; torch 2.13, MKL, AMD).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

MOST_ROWS = 64
"""From some hundred rows on both ways take as long."""
LEAST_WEIGHTS = 1 << 16
"""Of a matrix; smaller ones stay in the processor's cache, and calling takes longer than multiplying."""
MOST_BLOCKS = 16
"""Of a matrix: a number that the machine has no part in, so that results are not another's on each."""


class FewRowsLinear(nn.Linear):
    """`nn.Linear` with the same weights and, up to rounding, the same values."""

    def forward(self, input: Tensor) -> Tensor:
        rows = input.numel() // self.in_features
        if not 0 < rows <= MOST_ROWS:
            return super().forward(input)
        product = rows_by_blocks(input.reshape(rows, self.in_features), self.weight)
        if self.bias is not None:
            product = product + self.bias
        return product.view(*input.shape[:-1], self.out_features)


def rows_by_blocks(rows: Tensor, weight: Tensor) -> Tensor:
    """`rows` [N, in] times `weight` [out, in], as [N, out].

    Rows lie one after the other in what is given, as torch's own product has them: where they do not, its attention of queries made of them
    falls back to a slow kernel.
    """
    blocks = math.gcd(weight.shape[0], MOST_BLOCKS)
    product = torch.bmm(weight.view(blocks, -1, weight.shape[1]), rows.t().expand(blocks, -1, -1))
    return product.flatten(0, 1).t().contiguous()


def prepare(model: nn.Module) -> None:
    """Let a model's large float32 matrices on a CPU take few rows the quicker way; layers of other classes stay as they are."""
    for module in model.modules():
        if type(module) is nn.Linear and _gains(module.weight):
            module.__class__ = FewRowsLinear


def _gains(weight: Tensor) -> bool:
    """Whether a matrix is one of those that the module is about."""
    on_cpu = weight.device.type == "cpu" and weight.dtype == torch.float32 and weight.is_contiguous()
    return on_cpu and weight.numel() >= LEAST_WEIGHTS
