"""Each embedding's own facts, its Hugging Face form, and the refusals of impossible settings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from ropepp_eval.errors import UserError
from ropepp_eval.positions import Heads, get_position, parse_position, positions
from ropepp_eval.positions.alibi import alibi_slopes
from ropepp_eval.positions.base import Rotary
from ropepp_eval.positions.fope import Fope
from ropepp_eval.positions.partial import PartialRotary
from ropepp_eval.positions.ropepp import RopePPEqualCache, RopePPEqualHeads
from ropepp_eval.positions.scaling import (
    LinearScaling,
    YarnScaling,
    parse_scaling,
    scaling_from_rope_parameters,
    scaling_label,
)

NAMES = ["rope", "ropepp_eh", "ropepp_ec", "fope", "partial", "alibi", "nope"]


def test_the_seven_embeddings_of_the_paper_are_known():
    assert set(NAMES) <= set(positions())


@pytest.mark.parametrize("name", NAMES)
def test_the_hugging_face_form_gives_the_same_embedding_back(name):
    kind = get_position(name)
    first = kind()
    settings = [first]
    if isinstance(first, Rotary) and name != "fope":
        settings += [
            kind(base=5e5, scaling=LinearScaling(factor=8)),
            kind(scaling=YarnScaling(factor=32, original_length=8192)),
        ]
    for embedding in settings:
        form = embedding.to_hf()
        assert kind.from_hf(form["rope_parameters"], form["position_settings"]) == embedding


@pytest.mark.parametrize("name", NAMES)
def test_a_setting_that_does_not_exist_is_refused(name):
    with pytest.raises(UserError, match="wavelength"):
        get_position(name).from_hf({}, {"wavelength": 3})


def test_heads_of_eh_and_ec():
    assert RopePPEqualHeads.heads(8, 4) == Heads(query=4, key_value=2, attention=8)
    assert RopePPEqualCache.heads(8, 4) == Heads(query=8, key_value=4, attention=16)
    assert RopePPEqualCache.head_roles(RopePPEqualCache.heads(2, 1)) == ("real", "imaginary", "real", "imaginary")
    assert get_position("rope").head_roles(Heads(3, 1, 3)) == ("real",) * 3


@pytest.mark.parametrize(("heads", "field"), [((7, 4), "num_attention_heads is 7"), ((8, 3), "num_key_value_heads is 3")])
def test_eh_refuses_odd_head_counts(heads, field):
    with pytest.raises(UserError, match=field):
        RopePPEqualHeads.heads(*heads)


@pytest.mark.parametrize("name", ["rope", "ropepp_eh", "ropepp_ec"])
def test_an_odd_head_size_is_refused(name):
    with pytest.raises(UserError, match="head_dim 15 is odd"):
        get_position(name)().check(Heads(2, 2, 2), 15)


def test_partial_refuses_a_factor_that_turns_no_even_number_of_dimensions():
    assert PartialRotary().turning(128) == 32
    with pytest.raises(UserError, match="turns 3 dimensions"):
        PartialRotary().check(Heads(2, 2, 2), 12)
    with pytest.raises(UserError, match=r"partial_rotary_factor 1.5"):
        PartialRotary(partial_rotary_factor=1.5)


@pytest.mark.parametrize("folder", ["alibi", "alibi_12h"])
def test_formula_slopes_are_the_published_ones_before_bfloat16_rounded_them(golden: Path, folder):
    published = torch.from_numpy(load_file(golden / folder / "golden.safetensors")["alibi_slopes"])
    assert torch.equal(torch.tensor(alibi_slopes(len(published))).bfloat16().float(), published)


def test_fope_tables_are_those_of_the_public_code_bit_for_bit(golden: Path):
    arrays = load_file(golden / "fope" / "golden.safetensors")
    frequencies = Fope().frequencies(16)
    assert np.array_equal(frequencies.numpy(), arrays["fope_inv_freq_ref32"])
    sin, cos = Fope().tables(torch.from_numpy(arrays["fope_pos"])[None], frequencies)
    assert np.array_equal(sin[0].numpy(), arrays["fope_sin_ref32"])
    assert np.array_equal(cos[0].numpy(), arrays["fope_cos_ref32"])


@pytest.mark.parametrize("text", ["pi8", "yarn32", "yarn32@8192", "pi1.5"])
def test_a_scaling_reads_back_as_it_is_written(text):
    assert scaling_label(parse_scaling(text)) == text
    assert scaling_from_rope_parameters(parse_scaling(text).to_rope_parameters(), "here") == parse_scaling(text)


@pytest.mark.parametrize("text", ["pi", "pi0.5", "yarn0", "pi8@4096", "ntk4", "", "yarn32@0"])
def test_an_impossible_scaling_is_refused(text):
    with pytest.raises(UserError):
        parse_scaling(text)


@pytest.mark.parametrize(("parameters", "word"), [
    ({"rope_type": "llama3", "factor": 8}, "llama3"),
    ({"type": "dynamic", "factor": 8}, "dynamic"),
    ({"rope_type": "yarn", "factor": 8}, "yarn"),
    ({"rope_type": "linear"}, "has no factor"),
    ({"rope_type": "ropepp_yarn", "factor": 32}, "original_max_position_embeddings"),
])  # fmt: skip
def test_a_rope_type_that_is_not_computed_is_refused_by_name(parameters, word):
    with pytest.raises(UserError, match=word):
        scaling_from_rope_parameters(parameters, "config.json: rope_scaling")


def test_a_position_is_written_with_its_scaling():
    assert parse_position("ropepp_ec") == (RopePPEqualCache, None, False)
    assert parse_position("ropepp_ec+yarn32") == (RopePPEqualCache, YarnScaling(factor=32), True)
    assert parse_position("ropepp_ec+none") == (RopePPEqualCache, None, True)
    with pytest.raises(UserError, match="did you mean ropepp_e"):
        parse_position("ropepp_ce")


@pytest.mark.parametrize("name", ["alibi", "nope", "fope"])
def test_what_has_no_angles_to_stretch_refuses_a_scaling(name):
    with pytest.raises(UserError, match="pi8"):
        get_position(name).from_published({}, LinearScaling(factor=8))


def test_fope_refuses_a_switch_that_is_not_implemented():
    with pytest.raises(UserError, match="fourier_norm is True"):
        Fope.from_published({"fourier": True, "fourier_norm": True}, None)


def test_nope_takes_fewer_than_40_lines():
    import ropepp_eval.positions.nope as module

    assert len(Path(module.__file__).read_text().splitlines()) < 40
