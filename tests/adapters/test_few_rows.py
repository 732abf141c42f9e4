"""The quicker product of few rows gives torch's own values, and only the layers that gain by it take it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ropepp_eval.adapters.native import few_rows
from ropepp_eval.adapters.native.few_rows import FewRowsLinear

SIZES = (512, 768)


def large(bias: bool = False, outputs: int = SIZES[1]) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(SIZES[0], outputs, bias=bias)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("outputs", [768, 776, 769])
@pytest.mark.parametrize("shape", [(1, 1), (2, 1), (8, 1), (1, 7), (3, 5), (1, 64), (1, 65), (4, 100)])
@torch.inference_mode()
def test_the_product_is_torchs_own(shape: tuple[int, int], outputs: int, bias: bool) -> None:
    layer, states = large(bias, outputs), torch.randn(*shape, SIZES[0])
    expected = layer(states)
    few_rows.prepare(layer)
    assert type(layer) is FewRowsLinear
    found = layer(states)
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_rows_lie_in_memory_as_torchs_own() -> None:
    """Attention of queries that lie otherwise falls back to a slow kernel."""
    layer = large()
    few_rows.prepare(layer)
    assert layer(torch.randn(8, 1, SIZES[0])).is_contiguous()
    states = torch.randn(SIZES[0], 8).t()
    torch.testing.assert_close(layer(states), layer(states.contiguous()))


def test_gradients_flow() -> None:
    layer, states = large(bias=True), torch.randn(3, SIZES[0])
    layer(states).square().sum().backward()
    expected = [parameter.grad.clone() for parameter in layer.parameters() if parameter.grad is not None]
    layer.zero_grad()
    few_rows.prepare(layer)
    layer(states).square().sum().backward()
    for parameter, gradient in zip(layer.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-3)


class Own(nn.Linear):
    """A layer that does something of its own, as those of quantised models do."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(input) + 1


@pytest.mark.parametrize(
    "layer", [nn.Linear(64, 64), large().to(torch.bfloat16), large().to("meta"), Own(*SIZES)], ids=lambda layer: str(layer)
)
def test_layers_that_gain_nothing_stay_as_they_are(layer: nn.Module) -> None:
    before = type(layer)
    few_rows.prepare(layer)
    assert type(layer) is before
