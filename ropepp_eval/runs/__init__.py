"""Planning, checking, executing and storing evaluations. `evaluate` is the whole of it as one call."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from ropepp_eval.runs.answering import Executor

Path = str | os.PathLike[str]


def evaluate(
    *checkpoints: Path,
    tasks: str | Sequence[str],
    lengths: int | str | Sequence[int | str],
    samples: int = 100,
    seed: int = 42,
    protocol: str = "reference",
    data_dir: Path | None = None,
    repeat_text: bool = False,
    offline: bool = False,
    out: Path | None = None,
    device: str = "auto",
    dtype: str = "auto",
    attention: str = "sdpa",
    position: str | None = None,
    position_module: Path | Sequence[Path] = (),
    task_folder: Path | Sequence[Path] = (),
    tokenizer: Path | None = None,
    allow_beyond_trained_length: bool = False,
    backend: str = "native",
    adapter_options: Mapping[str, Any] | None = None,
    shard: str | None = None,
    executor: Executor | None = None,
    retry_failed: bool = False,
    quiet: bool = False,
) -> pd.DataFrame:
    """Evaluate checkpoints on tasks at lengths and give the results, one line a cell and metric.

    >>> frame = evaluate("models/demo/rope", tasks=["niah_single_1"], lengths=["256", "512"], samples=5, out="runs/first")

    Args:
        *checkpoints: folders, hub ids or names of cards.
        tasks: names of tasks and groups.
        lengths: context lengths in tokens, or texts such as "4k".
        samples: rows (questions) for each task and length, at most.
        seed: of the rows.
        protocol: `reference` (each benchmark's own settings) or `paper`.
        data_dir: folder of real corpora (docs/data.md); None: generated text stands in, marked.
        repeat_text: use a corpus again where it is too small for a length, instead of refusing it.
        offline: never touch the network.
        out: run folder; None: one under `runs/` whose name the run itself decides.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.
        dtype: `auto` (as stored), `float32`, `bfloat16`, `float16`, `float64`, or what else these are called (`fp32`, `half`).
        attention: `sdpa`, `eager`, `flash_attention_2`, `flex_attention`, or a name registered with transformers.
        position: what weights can't say: `nope`, `rope+pi8` (docs/positions.md).
        position_module: Python files that register position embeddings.
        task_folder: folders with tasks of one's own (docs/tasks.md).
        tokenizer: folder or hub id; None: the checkpoint's own.
        allow_beyond_trained_length: allow lengths past `max_position_embeddings` (extrapolation).
        backend: `native` or `vllm`.
        adapter_options: further settings of the adapter (`ropepp_eval.adapters.settings.Settings`), such as {"chunk_tokens": 8192},
            or {"prompt_format": "chat"}.
        shard: `2/8` asks the second eighth of the rows alone, into a folder inside `out` (docs/clusters.md).
        executor: who answers the rows, such as `ropepp_eval.cluster.RayExecutor(workers=8)`; None: this process.
        retry_failed: ask rows again that failed before.
        quiet: no progress on standard error.

    Returns:
        The lines of `ropepp_eval.read_results(out)` that are about what was asked here. The same call again goes on with a run that was
        stopped or just reads a finished one; one that asks for more goes on from what is there.

    Raises:
        UserError: something given can't be used, or would change answers that `out` holds; nothing was run.
        Interrupted: Ctrl-C or a signal ended it; finished rows are kept.
    """
    from ropepp_eval.reports.asked import only_asked
    from ropepp_eval.reports.cells import read_cells
    from ropepp_eval.reports.frame import results_frame
    from ropepp_eval.runs.config import RunConfig
    from ropepp_eval.runs.execute import run

    config = RunConfig.of(
        *checkpoints,
        tasks=tasks,
        lengths=lengths,
        samples=samples,
        seed=seed,
        protocol=protocol,
        data_dir=data_dir,
        repeat_text=repeat_text,
        offline=offline,
        out=out,
        device=device,
        dtype=str(dtype),
        attention=attention,
        position=position,
        position_module=position_module,
        task_folder=task_folder,
        tokenizer=tokenizer,
        allow_beyond_trained_length=allow_beyond_trained_length,
        backend=backend,
        adapter_options=adapter_options or {},
        shard=shard,
        quiet=quiet,
    )
    finished = run(config, executor=executor, retry_failed=retry_failed)
    return results_frame(only_asked(read_cells(finished.folder), finished.asked))


__all__ = ["evaluate"]
