"""Noise and ablation: what they do, and that nothing is left of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ropepp_eval.errors import UserError
from ropepp_eval.probes import ablation, noise
from ropepp_eval.probes.base import ProbeCell
from ropepp_eval.probes.conditions import Ablation, Noise, by_layer, head_means, replaced
from ropepp_eval.probes.execute import engine_of
from ropepp_eval.probes.heads import HeadFacts
from ropepp_eval.probes.noise import AblationProbe, NoiseProbe
from ropepp_eval.rows.row import Row
from tests.modeling.conftest import build

IDS = torch.randint(3, 61, (1, 30), generator=torch.Generator().manual_seed(9))


@torch.no_grad()
def logits(model: Any) -> torch.Tensor:
    found: torch.Tensor = model(IDS).logits
    return found


@pytest.mark.parametrize("condition", [Noise("real", 0.0, 3), Ablation("", (), "off"), Ablation("", (), "mean")])
def test_doing_nothing_changes_no_bit(condition: Any) -> None:
    model = build("ropepp_ec", "sdpa")
    before = logits(model)
    with condition.applied(engine_of(model), [[1, 2, 3]]):
        assert torch.equal(logits(model), before)


@pytest.mark.parametrize(
    "condition", [Noise("imaginary", 0.5, 0), Ablation("x", ((0, 1), (1, 2)), "off"), Ablation("x", ((0, 1),), "mean")]
)
def test_what_is_done_is_undone(condition: Any) -> None:
    model = build("ropepp_ec", "sdpa")
    before = logits(model)
    with condition.applied(engine_of(model), [IDS[0].tolist()]):
        assert (logits(model) - before).abs().max() > 1e-4
    with pytest.raises(RuntimeError, match="stop"), condition.applied(engine_of(model), [IDS[0].tolist()]):
        raise RuntimeError("stop")
    assert torch.equal(logits(model), before)
    assert not [module for module in model.modules() if module._forward_hooks or module._forward_pre_hooks]


def test_a_head_that_is_off_is_one_whose_columns_of_the_output_projection_are_zero() -> None:
    model, cut = build("ropepp_eh", "sdpa"), build("ropepp_eh", "sdpa")
    with torch.no_grad():
        size = cut.config.head_dim
        cut.model.layers[1].self_attn.o_proj.weight[:, 2 * size : 3 * size] = 0
    with replaced(model, by_layer(((1, 2),)), {}):
        assert (logits(model) - logits(cut)).abs().max() < 1e-5


def test_the_mean_output_of_a_head_is_over_all_tokens() -> None:
    model = build("rope", "sdpa")
    seen = []
    handle = model.model.layers[0].self_attn.o_proj.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    logits(model)
    handle.remove()
    wanted = seen[0].view(30, -1, model.config.head_dim)[:, [1, 3]].mean(0)
    engine = engine_of(model)
    engine.forward.chunk_tokens = 8
    found = head_means(engine, [IDS[0].tolist()], {0: [1, 3]})
    assert (found[0] - wanted).abs().max() < 1e-5


def test_noise_and_ablation_score_rows_under_every_condition(ec: Any, rows: list[Any]) -> None:
    frame = noise(ec, rows[:1], deviations=(0.0, 2.0), draws=2)
    assert sorted(zip(frame["target"], frame["deviation"], frame["seed"], strict=True)) == [
        ("imaginary", 0.0, 0), ("imaginary", 2.0, 0), ("imaginary", 2.0, 1), ("real", 0.0, 0), ("real", 2.0, 0), ("real", 2.0, 1),
    ]  # fmt: skip
    assert frame[frame["deviation"] == 0]["score"].tolist() == [1.0, 1.0]
    numbers = NoiseProbe().numbers(frame)
    assert set(numbers["rows"]) == {1, 2}
    assert ec.config.noise_std == 0
    without = ablation(ec, rows[:1], targets=("imaginary",), ways=("off",))
    assert without.set_index("target")["score"].to_dict() == {"": 1.0, "imaginary": 0.0}
    lines = AblationProbe().numbers(without).set_index("target")
    assert lines.loc["imaginary", "difference"] == -1.0


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: NoiseProbe(deviations=(-0.1,)), "deviation -0.1 is no standard deviation"),
        (lambda: NoiseProbe(deviations=(float("nan"),)), "no standard deviation"),
        (lambda: NoiseProbe(seeds=0), "seeds 0 is below 1"),
        (lambda: NoiseProbe(targets=("imaginery",)), "did you mean imaginary"),
        (lambda: AblationProbe(ways=("of",)), "did you mean off"),
    ],
)
def test_impossible_settings_are_refused(make: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        make()


def test_seeds_of_a_question_count_as_one_document() -> None:
    probe = NoiseProbe(deviations=(0.4,), targets=("real",), seeds=3)
    row = Row(task="niah_single_1", length_tokens=256, row=1, prompt="a", prompt_tokens=1)
    first = Row(task="niah_single_1", length_tokens=256, row=0, prompt="b", prompt_tokens=1)
    cells = probe.cells(
        ProbeCell("m", "", "ropepp_ec", "niah_single_1", 256, (first, row)),
        HeadFacts("m", "ropepp_ec", 2, ("real", "imaginary")),
    )
    numbers = [(one.row, one.cluster) for cell in cells for one in cell.rows]
    assert numbers == [(0, "row 0"), (1, "row 1"), (2, "row 0"), (3, "row 1"), (4, "row 0"), (5, "row 1")]
    assert len({cell.file for cell in cells}) == 1
