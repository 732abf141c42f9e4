"""Frequencies, tables and rotation against float64 and against the definition, far beyond what half precision can hold."""

from __future__ import annotations

import math

import pytest
import torch

from ropepp_eval.positions.rotation import (
    imaginary_query,
    interleave_heads,
    inverse_frequencies,
    rotate,
    rotate_half,
    rotation_tables,
)
from ropepp_eval.positions.scaling import LinearScaling, YarnScaling

PLACES = [0, 1, 257, 2049, 4095, 65537, 131071]


@pytest.mark.parametrize("base", [1e4, 5e5])
@pytest.mark.parametrize("head_dim", [8, 24, 64, 128])
@pytest.mark.parametrize("scaling", [None, LinearScaling(factor=8), YarnScaling(factor=32)])
@pytest.mark.parametrize("place", PLACES)
def test_tables_agree_with_float64_as_far_as_float32_angles_can(base, head_dim, scaling, place):
    exact = torch.tensor([base ** (-2 * n / head_dim) for n in range(head_dim // 2)], dtype=torch.float64)
    found, scale = inverse_frequencies(base, head_dim), 1.0
    if scaling is not None:
        exact, found, scale = scaling.stretch(exact), scaling.stretch(found), scaling.table_scale
    cos, sin = rotation_tables(torch.tensor([[place]]), found, scale)
    assert cos.dtype == sin.dtype == torch.float32
    angle = place * torch.cat((exact, exact))
    # a frequency is off by units in the last place (power, quotient; the ramp cancels digits), the angle by that times place
    limit = scale * ((12 if isinstance(scaling, YarnScaling) else 6) * 2**-24 * angle + 2**-22)
    assert ((cos[0, 0] - scale * angle.cos()).abs() <= limit).all()
    assert ((sin[0, 0] - scale * angle.sin()).abs() <= limit).all()


@pytest.mark.parametrize("place", PLACES)
def test_neighbouring_positions_have_different_tables(place):
    cos, sin = rotation_tables(torch.tensor([[place, place + 1]]), inverse_frequencies(1e4, 64))
    moved = (cos[0, 1] - cos[0, 0]) ** 2 + (sin[0, 1] - sin[0, 0]) ** 2
    assert moved[0] == pytest.approx(2 - 2 * math.cos(1), rel=1e-2)  # the fastest pair turns one radian


def test_the_slowest_neighbours_stay_apart_for_a_table_made_from_bfloat16_positions_would_merge_them():
    merged = torch.tensor([65536, 65537]).to(torch.bfloat16)
    assert merged[0] == merged[1]


def test_frequencies_do_not_follow_the_default_device():
    with torch.device("meta"):
        assert inverse_frequencies(1e4, 16).device.type == "cpu"


def test_rotation_keeps_length_and_depends_on_the_distance_alone():
    query, key = torch.randn(2, 1, 1, 8, 16, dtype=torch.float64)
    scores = []
    for shift in (0, 1000):
        cos, sin = rotation_tables(torch.arange(8)[None] + shift, inverse_frequencies(1e4, 16))
        turned = rotate(query, cos, sin)
        assert torch.allclose(turned.norm(dim=-1), query.norm(dim=-1), rtol=1e-6)
        scores.append(turned @ rotate(key, cos, sin).transpose(-1, -2))
    assert torch.allclose(*scores, atol=1e-3)


def test_rotation_works_in_float32_and_gives_the_input_dtype_back():
    x = torch.randn(1, 2, 4, 16).to(torch.bfloat16)
    cos, sin = rotation_tables(torch.arange(4)[None] + 4000, inverse_frequencies(1e4, 16))
    assert torch.equal(rotate(x, cos, sin), rotate(x.float(), cos, sin).to(torch.bfloat16))


def test_the_imaginary_query_is_the_rotation_a_quarter_turn_back():
    query = torch.randn(1, 2, 6, 16)
    cos, sin = rotation_tables(torch.arange(6)[None] + 100, inverse_frequencies(1e4, 16))
    turned = rotate(query, cos, sin)
    assert torch.allclose(imaginary_query(turned), rotate(query, sin, -cos), atol=1e-6)
    assert torch.equal(imaginary_query(turned), -rotate_half(turned))


def test_real_and_imaginary_heads_alternate():
    real, imaginary = torch.zeros(1, 3, 2, 4), torch.ones(1, 3, 2, 4)
    assert interleave_heads(real, imaginary)[0, :, 0, 0].tolist() == [0, 1, 0, 1, 0, 1]


def test_yarn_keeps_fast_dimensions_and_divides_slow_ones():
    plain = inverse_frequencies(1e4, 128)
    stretched = YarnScaling(factor=32).stretch(plain)
    turns = 4096 / (2 * math.pi) * plain
    assert torch.equal(stretched[turns >= 32], plain[turns >= 32])
    assert torch.allclose(stretched[turns <= 1], plain[turns <= 1] / 32)
    assert (stretched[1:] < stretched[:-1]).all()
