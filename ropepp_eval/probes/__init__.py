"""What heads do, not only what they score: probes from Python, each a function of (model, rows) that gives a pandas frame.

>>> model = ropepp_eval.load_checkpoint("models/demo/ropepp_ec", dtype="float32")          # doctest: +SKIP
>>> frame = attention(model, rows_of("niah_single_1", 256, model, samples=2))              # doctest: +SKIP

`ropepp-eval probe` does the same for checkpoints, durable and with pictures (docs/probes.md). No probe changes what a model computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from ropepp_eval.probes.base import Probe
    from ropepp_eval.rows.row import Row


def rows_of(
    task: str,
    length: int | str,
    model: Any,
    *,
    samples: int = 10,
    seed: int = 42,
    data_dir: str | None = None,
    tokenizer: str | None = None,
) -> list[Row]:
    """Rows of a task as `run` would ask them of this model.

    Args:
        task: name of a task (`ropepp-eval tasks`).
        length: context length in tokens, or such as `4k`.
        model: of `load_checkpoint`; its folder holds the tokenizer unless `tokenizer` names one.
        samples, seed: how many rows, and of which draw.
        data_dir: folder of real corpora; None: generated text stands in.

    Raises:
        UserError: there is no such task, or it can't be built at this length.
    """
    from ropepp_eval.data import open_data
    from ropepp_eval.lengths import parse_length
    from ropepp_eval.rows.building import frozen_rows
    from ropepp_eval.rows.catalogue import resolve_tasks
    from ropepp_eval.rows.row import RowRequest

    (entry,) = resolve_tasks([task])
    request = RowRequest(
        task=entry.name, length_tokens=parse_length(length), samples=samples, seed=seed, protocol="reference",
        tokenizer=_tokenizer(model, tokenizer), data=open_data(data_dir, offline=data_dir is None),
    )  # fmt: skip
    return frozen_rows(request, entry.build_rows())


def curves(model: Any, rows: Sequence[Row], *, tokenizer: str | None = None) -> pd.DataFrame:
    """Score of every head against distance, one line a row, head and bin of distances, beside the closed form; see `probes.curves`."""
    from ropepp_eval.probes.curves import Curves

    return _measured(Curves(), model, rows, tokenizer)


def attention(
    model: Any,
    rows: Sequence[Row],
    *,
    heads: Sequence[tuple[int, int]] = (),
    needles: bool = True,
    tokenizer: str | None = None,
) -> pd.DataFrame:
    """Where every head looks from the answer's tokens, one line a row, layer and head: role, depth, weight on needle, beginning and end,
    mean distance, entropy, share of answer tokens copied. `needles=False` takes rows that hide none."""
    from ropepp_eval.probes.attention import Attention

    return _measured(
        Attention(heads=tuple(heads), map_row=rows[0].row if rows else 0, needles=needles), model, rows, tokenizer
    )


def noise(
    model: Any, rows: Sequence[Row], *, deviations: Sequence[float] | None = None, targets: Sequence[str] = (), draws: int = 3,
    tokenizer: str | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Score of each row with noise on real or imaginary heads, one line a row, target, deviation and draw."""
    from ropepp_eval.probes.noise import DEVIATIONS, NoiseProbe

    wanted = tuple(DEVIATIONS if deviations is None else deviations)
    return _measured(NoiseProbe(deviations=wanted, targets=tuple(targets), seeds=draws), model, rows, tokenizer)


def ablation(
    model: Any, rows: Sequence[Row], *, heads: Sequence[tuple[int, int]] = (), targets: Sequence[str] = (), ways: Sequence[str] = ("off", "mean"),
    tokenizer: str | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Score of each row of the whole model and without some heads ((layer, head) pairs, or all of a role), one line a row and condition."""
    from ropepp_eval.probes.noise import AblationProbe

    return _measured(AblationProbe(targets=tuple(targets), heads=tuple(heads), ways=tuple(ways)), model, rows, tokenizer)


def extrapolation(model: Any, rows: Sequence[Row], *, tokenizer: str | None = None) -> pd.DataFrame:
    """Mean loss of each row in buckets of positions, one line a row and bucket."""
    from ropepp_eval.probes.extrapolation import Extrapolation

    return _measured(Extrapolation(), model, rows, tokenizer)


def coverage(model: Any, lengths: Sequence[int]) -> pd.DataFrame:
    """Values of cosine and sine met in training and at each length, one line a length, dimension, role and slot. There are no rows."""
    from ropepp_eval.probes.base import ProbeCell, Setting
    from ropepp_eval.probes.coverage import Coverage

    config = model.config
    subject = (config.position_embedding, config.head_dim, config.max_position_embeddings)
    cells = [ProbeCell("model", "", config.position, "coverage", length, (Setting({}),)) for length in lengths]
    return _framed(Coverage(), subject, cells)


def cost(model: Any, lengths: Sequence[int], *, batches: Sequence[int] = (1, 8), steps: int = 8) -> pd.DataFrame:
    """Milliseconds and bytes of a new token by the native engine, one line a length and batch. There are no rows."""
    from functools import partial

    from ropepp_eval.probes.base import ProbeCell, Setting
    from ropepp_eval.probes.cost import Cost
    from ropepp_eval.probes.cost_native import measured
    from ropepp_eval.probes.execute import engine_of

    cells = [
        ProbeCell(
            "model", "", getattr(model.config, "position", ""), f"decode_batch_{batch}", length, (Setting({"batch": batch}),)
        )
        for batch in batches
        for length in lengths
    ]
    return _framed(Cost(batches=tuple(batches), steps=steps), partial(measured, engine_of(model)), cells)


def _tokenizer(model: Any, name: str | None) -> Any:
    from ropepp_eval.tokens.tokenizer import load_tokenizer

    return load_tokenizer(str(name or model.config.name_or_path))


def _measured(probe: Probe, model: Any, rows: Sequence[Row], tokenizer: str | None) -> pd.DataFrame:
    from ropepp_eval.adapters.native import NativeLM
    from ropepp_eval.errors import UserError
    from ropepp_eval.probes.base import ProbeCell
    from ropepp_eval.probes.heads import facts_of_model

    if not rows:
        raise UserError(f"probe {probe.kind} was given no row; make some with ropepp_eval.probes.rows_of")
    lm = NativeLM.from_objects(model, _tokenizer(model, tokenizer).fast, max_length=1 << 24)
    by_cell: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        by_cell.setdefault((row.task, row.length_tokens), []).append(row)
    name = Path(str(model.config.name_or_path)).name or type(model).__name__
    position = getattr(model.config, "position", "")
    cells = [ProbeCell(name, "", position, task, length, tuple(own)) for (task, length), own in by_cell.items()]
    return _framed(probe, lm, cells, facts_of_model(model, name) if probe.of_heads else None)


def _framed(probe: Probe, subject: Any, cells: Sequence[Any], facts: Any = None) -> pd.DataFrame:
    import pandas

    from ropepp_eval.probes.execute import frame_of

    framed: pd.DataFrame = pandas.concat([frame_of(probe, subject, cell, facts) for cell in cells], ignore_index=True)
    return framed


__all__ = ["ablation", "attention", "cost", "coverage", "curves", "extrapolation", "noise", "rows_of"]
