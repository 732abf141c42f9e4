"""Values met in training: against all positions counted out, and what a scaling and imaginary heads change."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ropepp_eval.positions import parse_position
from ropepp_eval.probes.coverage import measured, ranges_of, values_of, width_outside


def embedding(written: str):
    kind, scaling, _ = parse_position(written)
    return kind(scaling=scaling) if scaling else kind()


@pytest.mark.parametrize("angle", [0.0, 0.3, 1.2, 2.0, 3.5, 5.0, 6.2, 40.0])
@pytest.mark.parametrize("role", ["real", "imaginary"])
def test_ranges_are_those_of_every_angle_on_the_way(angle: float, role: str) -> None:
    way = np.linspace(0, angle, 20_001)
    slots = {"cos": np.cos(way), "sin": np.sin(way)} if role == "real" else {"cos": np.sin(way), "sin": -np.cos(way)}
    for slot, values in slots.items():
        low, high = values_of(role, slot, angle)
        assert abs(low - values.min()) < 1e-6
        assert abs(high - values.max()) < 1e-6


def test_width_outside_leaves_gaps_between_what_was_met() -> None:
    assert width_outside((0.0, 1.0), [(0.0, 0.25), (0.75, 1.0)]) == pytest.approx(0.5)
    assert width_outside((-1.0, 1.0), [(-0.5, 0.5), (0.25, 0.75)]) == pytest.approx(0.75)
    assert width_outside((0.2, 0.4), [(0.0, 1.0)]) == 0


def test_imaginary_heads_show_their_weights_more_values() -> None:
    """A dimension that turned by a sixth of a turn in training: alone its cosine stops at 1/2; with the imaginary head it met 0 to 1."""
    alone = {line["slot"]: line for line in ranges_of(0, math.pi / 3, math.pi / 2, ["real"])}
    both = {(line["role"], line["slot"]): line for line in ranges_of(0, math.pi / 3, math.pi / 2, ["real", "imaginary"])}
    assert alone["cos"]["new"] == pytest.approx(0.5)
    assert both["real", "cos"]["new"] == pytest.approx(0.0)


def test_the_trained_length_shows_nothing_new_and_longer_ones_ever_more() -> None:
    shares = [measured(embedding("rope"), 64, 512, length).scores for length in (512, 1024, 4096)]
    assert shares[0] == {"new_dimensions": 0.0, "new_values": 0.0}
    assert 0 < shares[1]["new_values"] < shares[2]["new_values"]


def test_interpolation_keeps_angles_within_what_was_met() -> None:
    assert measured(embedding("rope+pi8"), 64, 512, 4096).scores == {
        "new_dimensions": 0.0,
        "new_values": pytest.approx(0.0, abs=1e-3),
    }


@pytest.mark.parametrize(("written", "said"), [("alibi", "its bias is"), ("nope", "nothing turns")])
def test_where_nothing_turns_a_sentence_says_so(written: str, said: str) -> None:
    found = measured(embedding(written), 64, 512, 4096)
    assert found.scores == {"new_dimensions": None, "new_values": None}
    assert said in found.details["note"]


def test_fope_meets_nothing_new() -> None:
    kind, _, _ = parse_position("fope")
    assert measured(kind(trained_length=512), 64, 512, 16384).scores == {
        "new_dimensions": 0.0,
        "new_values": pytest.approx(0.0, abs=1e-6),
    }
