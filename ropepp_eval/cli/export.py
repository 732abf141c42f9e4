"""`ropepp-eval export`: a checkpoint as a folder that says by itself what it is."""

from __future__ import annotations

import argparse

from ropepp_eval.cli.options import add_position_arguments, load_position_modules, path

HELP = "Write a checkpoint, or a GGUF file of a Llama-shaped model, as a self-describing folder: config, safetensors, tokenizer."
EXAMPLE = "ropepp-eval export models/demo/ropepp_eh exported/ropepp_eh"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=path, help="folder, hub id, name of a card, or a GGUF file")
    parser.add_argument("target", type=path, help="folder to write; it must not exist yet")
    add_position_arguments(parser)
    parser.add_argument("--dtype", default="auto", help="auto (as stored; of GGUF float32), bfloat16, float16 or float32")


def main(args: argparse.Namespace) -> int:
    from ropepp_eval.checkpoints.export import export_checkpoint
    from ropepp_eval.checkpoints.inspection import inspect_checkpoint

    load_position_modules(args.position_module)
    folder = export_checkpoint(args.checkpoint, args.target, position=args.position, dtype=args.dtype)
    info = inspect_checkpoint(folder)
    print(f"{folder}: {info.position}, {info.parameters:,} parameters, {info.dtype}")
    return 0
