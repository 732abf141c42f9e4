"""Settings of a position on the command line: read by their declared types, kept with a scaling, part of the label."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
import torch

from ropepp_eval import inspect_checkpoint, load_checkpoint
from ropepp_eval.errors import UserError
from ropepp_eval.modeling import RopePPConfig, RopePPForCausalLM
from ropepp_eval.positions import Heads, Position, Rotary, parse_position, position, positions, registry
from ropepp_eval.positions.registry import parse_position_settings
from ropepp_eval.positions.scaling import LinearScaling
from ropepp_eval.positions.settings import settings_label


@pytest.fixture(autouse=True)
def log_rope(monkeypatch):
    """A rotary embedding with settings of every simple type, and a registry that forgets it afterwards."""
    positions()
    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))

    @position("log_rope")
    @dataclass(frozen=True, kw_only=True)
    class LogRope(Rotary):
        start: int = 128
        slope: float = 1.0
        smooth: bool = False
        kind: str = "natural"
        end: int | None = None

    return LogRope


@pytest.fixture
def checkpoint(tmp_path):
    config = RopePPConfig(position="log_rope", position_settings={"start": 256}, vocab_size=16, hidden_size=32,
                          intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2)  # fmt: skip
    RopePPForCausalLM(config).save_pretrained(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


@pytest.mark.parametrize(("text", "settings", "scaling"), [
    ("log_rope:start=256+pi8", {"start": 256}, LinearScaling(factor=8)),
    ("log_rope:start=256,slope=2", {"start": 256, "slope": 2.0}, None),
    ("log_rope:slope=5e+5:smooth=true+none", {"slope": 5e5, "smooth": True}, None),
    ("log_rope:kind=true,end=none", {"kind": "true", "end": None}, None),
    ("rope:base=5e5", {"base": 5e5}, None),
    ("rope", {}, None),
])  # fmt: skip
def test_settings_are_read_beside_the_scaling(text, settings, scaling):
    assert parse_position_settings(text) == settings
    assert {name: type(value) for name, value in parse_position_settings(text).items()} == {
        name: type(value) for name, value in settings.items()
    }
    assert parse_position(text)[1] == scaling


@pytest.mark.parametrize(("text", "word"), [
    ("log_rope:begin=3", r"no setting 'begin'; it has base, start, slope, smooth, kind, end"),
    ("nope:start=3", "no setting 'start'; it has none"),
    ("log_rope:scaling=pi8", "written \\+pi8"),
    ("log_rope:start=2.5", "start is 2.5; it takes a whole number"),
    ("log_rope:start=many", "start is 'many'; it takes a whole number"),
    ("log_rope:start=true", "start is True; it takes a whole number"),
    ("log_rope:smooth=1", "smooth is 1; it takes true or false"),
    ("log_rope:slope=nan", "finite"),
    ("log_rope:end=x", "a whole number or none"),
    ("log_rope:start", "'start' is no setting"),
    ("log_rope:", "'' is no setting"),
    ("log_rope:start=1,start=2", "given twice"),
])  # fmt: skip
def test_a_setting_that_can_not_be_is_refused_in_one_line(text, word):
    with pytest.raises(UserError, match=word) as refused:
        parse_position_settings(text)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("settings", [{"start": "256"}, {"start": 2.5}, {"smooth": 1}, {"begin": 3}])
def test_a_config_with_a_wrong_setting_is_refused_like_a_command_line(log_rope, settings):
    with pytest.raises(UserError, match=next(iter(settings))):
        log_rope.from_hf({}, settings)


def test_a_label_reads_back_in_the_order_of_names(log_rope):
    embedding = log_rope(start=300, slope=0.25, smooth=True, kind="x")
    label = settings_label(embedding, log_rope())
    assert label == "kind=x,slope=0.25,smooth=true,start=300"
    assert log_rope(**parse_position_settings(f"log_rope:{label}")) == embedding
    assert log_rope(**parse_position_settings(f"log_rope:{settings_label(embedding)}")) == embedding


@pytest.mark.parametrize(("asked", "start", "label"), [
    (None, 256, "log_rope"),
    ("log_rope", 256, "log_rope"),
    ("log_rope+pi8", 256, "log_rope+pi8"),
    ("log_rope:start=256+pi8", 256, "log_rope+pi8"),
    ("log_rope:slope=2,start=512+pi8", 512, "log_rope:slope=2,start=512+pi8"),
    ("log_rope:start=512:slope=2.0+pi8", 512, "log_rope:slope=2,start=512+pi8"),
    ("log_rope:base=500000", 256, "log_rope:base=500000"),
])  # fmt: skip
def test_settings_of_the_config_stay_unless_they_are_named(checkpoint, asked, start, label):
    info = inspect_checkpoint(checkpoint, position=asked)
    assert info.label == label
    assert f"start={start}" in info.settings
    embedding = load_checkpoint(checkpoint, position=asked).config.position_embedding
    assert (embedding.start, embedding.scaling is not None) == (start, label.endswith("+pi8"))


def test_a_setting_changes_what_is_computed(checkpoint):
    tokens = torch.arange(12)[None]
    with torch.no_grad():
        plain, other = (load_checkpoint(checkpoint, position=p)(tokens).logits for p in (None, "log_rope:base=3"))
    assert not torch.equal(plain, other)


def test_no_scaling_takes_the_config_s_away_and_keeps_the_rest(checkpoint):
    config = json.loads((checkpoint / "config.json").read_text())
    config["rope_parameters"] |= {"rope_type": "linear", "factor": 8.0, "rope_theta": 777.0}
    (checkpoint / "config.json").write_text(json.dumps(config))
    for asked, scaling in ((None, "pi8"), ("log_rope", "pi8"), ("log_rope+none", "none"), ("log_rope+yarn4", "yarn4")):
        info = inspect_checkpoint(checkpoint, position=asked)
        assert (info.scaling, info.base, "start=256" in info.settings) == (scaling, 777.0, True)


@pytest.mark.parametrize(("bias", "words"), [
    (lambda self, distance, stored, heads: -distance, r"bias of position bent is \[\] for distances \[\].*\[2\]"),
    (lambda self, distance, stored, heads: -torch.ones(2, 1) * distance, r"is \[2, 1\] for distances \[\].*\[2\]"),
    (lambda self, distance, stored, heads: distance.new_ones(3, *distance.shape), r"is \[3\].*2 attention heads.*\[2\]"),
    (lambda self, distance, stored, heads: stored["absent"], "fails for distances .* with KeyError"),
])  # fmt: skip
def test_a_bias_of_a_wrong_shape_is_refused_with_both_shapes(bias, words):
    kind = dataclass(frozen=True, kw_only=True)(type("Bent", (Position,), {"bias": bias}))
    position("bent")(kind)
    with pytest.raises(UserError, match=words):
        RopePPConfig(position="bent", num_attention_heads=2, num_key_value_heads=2, hidden_size=32)


@pytest.mark.parametrize("named", [True, False])
def test_a_bias_gets_the_heads_if_it_wants_them(named):
    def with_heads(self, distance, stored, heads):
        return torch.ones(heads.attention).view(-1, *(1,) * distance.dim()) * distance

    def without(self, distance, stored):
        return torch.ones(4).view(-1, *(1,) * distance.dim()) * distance

    kind = dataclass(frozen=True, kw_only=True)(type("Either", (Position,), {"bias": with_heads if named else without}))
    assert kind().bias_of(torch.arange(3), {}, Heads(4, 2, 4)).shape == (4, 3)
