"""`ropepp-eval run`: evaluate checkpoints on tasks at context lengths."""

from __future__ import annotations

import argparse
import os
import sys

from ropepp_eval.cli.options import (
    add_position_arguments,
    add_task_arguments,
    load_position_modules,
    load_task_folders,
    path,
)
from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert
from ropepp_eval.lengths import parse_length, parse_lengths

HELP = "Evaluate checkpoints on tasks at context lengths. The same command again goes on where it stopped."
EXAMPLE = "ropepp-eval run models/demo/rope --tasks niah_single_1 --lengths 256,512 --samples 5 --out runs/first"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "checkpoints",
        nargs="+",
        type=path,
        metavar="CHECKPOINT",
        help="folder, hub id or name of a card (`ropepp-eval models`)",
    )
    add("--tasks", required=True, help="task and group names with commas (`ropepp-eval tasks` lists them)")
    add_task_arguments(parser)
    add("--lengths", required=True, type=parse_lengths, help="context lengths with commas: 2k,4k,8k,16k,32k,64k")
    add("--samples", type=int, help="questions (rows) asked for each task and length (default 100)")
    add(
        "--detect", type=float, metavar="POINTS",
        help="as many of them as show this difference between two checkpoints (`ropepp-eval resolution`)",
    )  # fmt: skip
    add("--seed", type=int, default=42, help="seed of the rows (default 42)")
    add("--protocol", default="reference", help="reference (each benchmark's own) or paper (the paper's settings)")
    add("--data-dir", type=path, help="folder of real corpora (docs/data.md); without it generated text stands in, marked")
    add("--repeat-text", action="store_true", help="use a corpus again where it is too small for a length (default: refuse)")
    add("--offline", action="store_true", help="never touch the network")
    add("--out", type=path, help="run folder (default: runs/ and a name made of the settings)")
    add("--device", default="auto", help="cpu, cuda, cuda:1, mps (default: cuda where there is one)")
    add("--dtype", default="auto", help="float32, bfloat16, float16 (default: the checkpoint's)")
    add("--attention", default="sdpa", help="eager, sdpa, flash_attention_2, flex_attention (default sdpa)")
    add_position_arguments(parser)
    add("--tokenizer", type=path, help="folder or hub id (default: the checkpoint's own)")
    add(
        "--allow-beyond-trained-length",
        action="store_true",
        help="allow lengths past max_position_embeddings (extrapolation)",
    )
    add("--backend", default="native", help="native (torch) or vllm")
    add("--tensor-parallel-size", type=int, metavar="N", help="vllm: processes that share the heads (default 1)")
    add(
        "--gpu-memory-utilization",
        type=float,
        metavar="SHARE",
        help="vllm: share of the GPU's memory it may take (default 0.85)",
    )
    add("--chunk", type=parse_length, metavar="TOKENS", help="tokens prefilled at once (default: chosen from memory)")
    add(
        "--truncate",
        choices=("left", "middle"),
        help="cut prompts that are too long, and say so in every row (default: refuse)",
    )
    add("--deterministic", action="store_true", help="bit-equal results on one device (docs/scoring.md says its price)")
    add("--retry-failed", action="store_true", help="ask failed rows again")
    add("--quiet", action="store_true", help="no progress, only the table")
    add(
        "--format",
        default="text",
        choices=("text", "markdown", "csv", "latex", "json"),
        help="format of the table at the end",
    )


def main(args: argparse.Namespace) -> int:
    if args.offline:  # before anything that reads it is imported
        os.environ["HF_HUB_OFFLINE"] = "1"
    from ropepp_eval.runs.config import RunConfig
    from ropepp_eval.runs.execute import run
    from ropepp_eval.runs.store import read_manifest

    load_position_modules(args.position_module)
    load_task_folders(args.task_folder)
    args.samples = _samples(args)
    names = ("tasks", "lengths", "samples", "seed", "protocol", "data_dir", "offline", "out", "device", "dtype", "attention")
    more = ("repeat_text", "position", "tokenizer", "allow_beyond_trained_length", "backend", "quiet")
    settings = {name: getattr(args, name) for name in names + more}
    options = {"chunk_tokens": args.chunk, "truncate": args.truncate, "deterministic": args.deterministic or None}
    engine = {"tensor_parallel_size": args.tensor_parallel_size, "gpu_memory_utilization": args.gpu_memory_utilization}
    if args.backend != "vllm" and any(value is not None for value in engine.values()):
        raise UserError(
            "--tensor-parallel-size and --gpu-memory-utilization are vLLM's; add --backend vllm or leave them out"
        )
    options |= engine
    config = RunConfig.of(
        *args.checkpoints,
        **settings,
        adapter_options={name: value for name, value in options.items() if value is not None},
    )

    def say(line: str) -> None:
        if not args.quiet:
            print(inert(line), file=sys.stderr, flush=True)

    folder = run(config, retry_failed=args.retry_failed, report=say)
    print_table(str(folder), args.format)
    say(f"rows and settings: {folder}   (ropepp-eval table {folder})")
    manifest = read_manifest(folder) or {}
    if manifest.get("status") != "error":
        return 0
    for line in manifest.get("failures", []):
        print(f"failed: {inert(line)}", file=sys.stderr)
    return 1


def _samples(args: argparse.Namespace) -> int:
    """Rows a cell: as given, as many as `--detect` needs, or the default."""
    from ropepp_eval.resolution import rows_needed
    from ropepp_eval.rows.building import DEFAULT_SAMPLES

    if args.detect is None:
        return DEFAULT_SAMPLES if args.samples is None else int(args.samples)
    if args.samples is not None:
        raise UserError("--samples and --detect both set the rows a cell; give one of the two")
    return rows_needed(args.detect / 100)


def print_table(folder: str, style: str) -> None:
    """The table that `ropepp-eval table FOLDER` prints."""
    from ropepp_eval.cli import parser_of
    from ropepp_eval.cli.table import main as table

    table(parser_of("table").parse_args([folder, "--format", style]))
