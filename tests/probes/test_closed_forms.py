"""Closed forms against sums over dimensions, real rotations, numerical integrals."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from ropepp_eval.positions import parse_position
from ropepp_eval.positions.rotation import imaginary_query, rotate
from ropepp_eval.probes.closed_forms import ClosedForm, closed_form

HEAD = 64
DISTANCES = np.array([0.0, 1, 2, 17, 511, 4095])


def embedding(written: str, **fields: float):
    kind, scaling, _ = parse_position(written)
    return kind(scaling=scaling, **fields) if scaling else kind(**fields)


@pytest.mark.parametrize("written", ["rope", "ropepp_ec", "ropepp_eh+pi8", "rope+yarn32", "partial"])
def test_closed_forms_are_the_direct_sums(written: str) -> None:
    position = embedding(written, base=500000.0)
    form = closed_form(position, HEAD)
    assert isinstance(form, ClosedForm)
    scale = position.scaling.table_scale**2 if position.scaling else 1.0
    frequencies = position.frequencies(HEAD).double().tolist()
    still = HEAD // 2 - len(frequencies)
    for distance, real, imaginary in zip(DISTANCES, form.real(DISTANCES), form.imaginary(DISTANCES), strict=True):
        cosines = math.fsum(scale * math.cos(f * distance) for f in frequencies) + still
        sines = math.fsum(scale * math.sin(f * distance) for f in frequencies)
        assert abs(real - cosines / (HEAD // 2)) < 1e-10
        assert abs(imaginary - sines / (HEAD // 2)) < 1e-10


def test_closed_forms_are_the_mean_scores_of_real_and_imaginary_heads() -> None:
    """Every unit vector as query and key, turned in float64 by our own rotation: the mean over them is the isotropic expectation."""
    position = embedding("ropepp_ec")
    form = closed_form(position, HEAD)
    assert isinstance(form, ClosedForm)
    angles = torch.tensor(DISTANCES)[:, None] * position.frequencies(HEAD).double()
    cos, sin = (torch.cat((x, x), -1) for x in (angles.cos(), angles.sin()))
    units = torch.eye(HEAD, dtype=torch.float64)[None, :, None].expand(1, HEAD, len(DISTANCES), HEAD)  # the key stands at 0
    turned = rotate(units, cos, sin)
    real = (turned * units).sum(-1).mean(1)[0].numpy()
    imaginary = (imaginary_query(turned) * units).sum(-1).mean(1)[0].numpy()
    assert np.abs(real - form.real(DISTANCES)).max() < 1e-10
    assert np.abs(imaginary - form.imaginary(DISTANCES)).max() < 1e-10


def of_angle(exponent: float, wave: Callable[[float], float], distance: float) -> float:
    return wave(10000.0**-exponent * distance)


@pytest.mark.parametrize(("written", "factor"), [("rope", 1.0), ("rope+pi8", 8.0)])
def test_the_limit_is_the_integral_over_the_exponent_of_the_base(written: str, factor: float) -> None:
    position = embedding(written)
    form = closed_form(position, HEAD)
    assert isinstance(form, ClosedForm)
    some = np.array([0.0, 1, 5, 33])
    for role, wave in (("real", math.cos), ("imaginary", math.sin)):
        found = form.limit(role, some)
        assert found is not None
        for distance, value in zip(some, found, strict=True):
            wanted = quad(of_angle, 0, 1, (wave, distance / factor), epsabs=1e-12, epsrel=1e-12, limit=500)[0]
            assert abs(value - wanted) < 1e-10


def test_the_limit_of_yarn_is_the_sum_over_very_many_pairs() -> None:
    position = embedding("rope+yarn32@512")
    form = closed_form(position, HEAD)
    assert isinstance(form, ClosedForm)
    many = torch.tensor(10000.0, dtype=torch.float64) ** -((torch.arange(200_000) + 0.5) / 200_000)
    stretched = position.scaling.stretch(many).numpy()
    some = np.array([0.0, 3, 100, 700])
    for role, wave in (("real", np.cos), ("imaginary", np.sin)):
        found = form.limit(role, some)
        assert found is not None
        wanted = [form.scale * wave(stretched * distance).mean() for distance in some]
        assert np.abs(found - wanted).max() < 1e-7


@pytest.mark.parametrize(
    ("written", "said"), [("alibi", "bias"), ("nope", "does not depend on the distance"), ("fope", "no closed form")]
)
def test_where_there_is_none_a_sentence_says_why(written: str, said: str) -> None:
    form = closed_form(embedding(written), HEAD)
    assert isinstance(form, str)
    assert said in form
