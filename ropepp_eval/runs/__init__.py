"""Planning, checking, executing and storing evaluations. `evaluate` is the whole of it as one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def evaluate(*checkpoints: Any, **settings: Any) -> pd.DataFrame:
    """Evaluate checkpoints on tasks at lengths and give the results, one line a cell and metric.

    >>> frame = evaluate("models/demo/rope", tasks=["niah_single_1"], lengths=["256", "512"], samples=5, out="runs/first")

    Args:
        *checkpoints: folders or hub ids.
        **settings: fields of `ropepp_eval.runs.config.RunConfig` by name (tasks, lengths, samples, seed, protocol, data_dir,
            offline, out, device, dtype, attention, position, tokenizer, allow_beyond_trained_length, ...). Lengths may be
            tokens or texts such as "4k".

    Returns:
        The frame of `ropepp_eval.read_results(out)`. The same call again continues or just reads the finished run.

    Raises:
        UserError: something given can't be used; nothing was run.
    """
    from ropepp_eval.reports.frame import read_results
    from ropepp_eval.runs.config import RunConfig
    from ropepp_eval.runs.execute import run

    folder = run(RunConfig.of(*checkpoints, **settings))
    return read_results(folder)


__all__ = ["evaluate"]
