"""`ropepp-eval verify-backend`: the same rows through the native adapter and through vLLM, compared by length."""

from __future__ import annotations

import argparse
from typing import Any

from ropepp_eval.cli.options import (
    add_position_arguments,
    add_task_arguments,
    load_position_modules,
    load_task_folders,
    path,
)
from ropepp_eval.lengths import parse_lengths

HELP = "Compare vLLM with the native adapter on one checkpoint, by length. Status 1 where log-probabilities differ too much."
EXAMPLE = "ropepp-eval verify-backend models/demo/ropepp_ec --lengths 256,512 --dtype float32"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("checkpoint", type=path, metavar="CHECKPOINT", help="folder or hub id")
    add("--lengths", required=True, type=parse_lengths, help="context lengths with commas: 2k,16k,64k")
    add("--task", default="niah_single_1", help="task whose rows are asked (default niah_single_1)")
    add_task_arguments(parser)
    add("--samples", type=int, default=4, help="rows a length (default 4)")
    add("--tolerance", type=float, help="largest log-probability gap allowed (default 0.0002 for float32, 0.1 for others)")
    add("--dtype", default="auto", help="float32, bfloat16, float16 (default: the checkpoint's)")
    add("--device", default="auto", help="cpu or cuda (default: what the installed vLLM runs on)")
    add_position_arguments(parser)
    add("--tokenizer", type=path, help="folder or hub id (default: the checkpoint's own)")
    add("--tensor-parallel-size", type=int, default=1, help="processes that share the heads")
    add(
        "--gpu-memory-utilization",
        type=float,
        default=0.5,
        help="vLLM's share of the GPU (default 0.5: the native model needs room too)",
    )
    add("--enforce-eager", action="store_true", help="no compilation: a quicker start")
    add("--seed", type=int, default=42, help="seed of the rows (default 42)")
    add("--format", choices=("text", "json"), default="text", help="text (default) or json")


def main(args: argparse.Namespace) -> int:
    from ropepp_eval.adapters.verify import VerifySettings, compare_backends, default_tolerance, table_of
    from ropepp_eval.errors import UserError

    load_position_modules(args.position_module)
    load_task_folders(args.task_folder)
    if args.samples < 1:
        raise UserError(f"--samples {args.samples} is below 1; compare at least one row a length")
    if args.tolerance is not None and not args.tolerance >= 0:
        raise UserError(
            f"--tolerance {args.tolerance} is below 0; give the largest gap in natural-log units, such as 0.0002"
        )
    engine: dict[str, Any] = {
        name: getattr(args, name) for name in ("tensor_parallel_size", "gpu_memory_utilization", "enforce_eager")
    }
    settings = VerifySettings(
        checkpoint=args.checkpoint,
        lengths=tuple(args.lengths),
        task=args.task,
        samples=args.samples,
        dtype=args.dtype,
        device=args.device,
        position=args.position,
        tokenizer=args.tokenizer,
        seed=args.seed,
        engine=engine,
    )
    lines, dtype = compare_backends(settings)
    tolerance = default_tolerance(dtype) if args.tolerance is None else args.tolerance
    print(table_of(lines, tolerance, dtype, args.format))
    return 0 if all(line.gap <= tolerance for line in lines) else 1
