"""`ropepp-eval inspect`: what a checkpoint is, and by which evidence."""

from __future__ import annotations

import argparse
import json

from ropepp_eval.cli.options import add_position_arguments, load_position_modules, path
from ropepp_eval.lengths import format_length

HELP = "Say which position embedding a checkpoint has, by which evidence, and how large it and its cache are."
EXAMPLE = "ropepp-eval inspect models/demo/ropepp_ec"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("checkpoint", nargs="+", type=path, help="folder, hub id, or the name of a card")
    add_position_arguments(parser)
    add("--format", choices=("text", "json"), default="text", help="text (default) or json")


def main(args: argparse.Namespace) -> int:
    from ropepp_eval.checkpoints.inspection import inspect_checkpoint

    load_position_modules(args.position_module)
    infos = [inspect_checkpoint(name, position=args.position) for name in args.checkpoint]
    if args.format == "json":
        print(json.dumps([fields_of(info) for info in infos], indent=1))
    else:
        print("\n\n".join(text_of(info) for info in infos))
    return 0


def fields_of(info: object) -> dict[str, object]:
    """All fields of a `CheckpointInfo` as JSON holds them, with the cache's bytes."""
    import dataclasses

    from ropepp_eval.checkpoints.inspection import CheckpointInfo

    assert isinstance(info, CheckpointInfo)
    return {**dataclasses.asdict(info), "kv_bytes_per_token": info.kv_bytes_per_token}


def text_of(info: object) -> str:
    """A `CheckpointInfo` for people."""
    from ropepp_eval.checkpoints.inspection import CheckpointInfo

    assert isinstance(info, CheckpointInfo)
    lines = {
        "position": info.label.partition("+")[0] + ("" if info.scaling == "none" else f", stretched by {info.scaling}"),
        "evidence": "; ".join(info.evidence),
        "rotary base": "nothing rotates" if info.base is None else f"{info.base:,.0f}",
        "heads": f"{info.query_heads} query, {info.key_value_heads} key/value, {info.attention_heads} in attention, "
        f"{info.head_dim} wide",
        "layers": f"{info.layers}, hidden size {info.hidden_size:,}, vocabulary {info.vocab_size:,}",
        "parameters": f"{info.parameters:,}, stored as {info.dtype}",
        "cache": cache_text(info),
        "trained length": f"{info.max_position_embeddings:,} tokens",
        **(
            {}
            if info.ours
            else {"class": f"transformers' {info.architecture}" + ("" if info.sdpa else ", attention by eager")}
        ),
        **({"prompts": f"read whole, one by one: {info.whole}"} if info.whole else {}),
        "tokenizer": "in the folder" if info.has_tokenizer else "none in the folder; name one with --tokenizer",
        **({"revision": info.revision} if info.revision else {}),
        "sha256": info.sha256,
        **({"settled": "; ".join(info.settled)} if info.settled else {}),
    }
    settings = [setting for setting in info.settings.split(",") if setting and not setting.startswith("base=")]
    if settings:
        lines = {"position": lines.pop("position"), "settings": ", ".join(settings), **lines}
    width = max(map(len, lines))
    return "\n".join([f"{info.name} ({info.folder})", *(f"  {name:<{width}}  {text}" for name, text in lines.items())])


def cache_text(info: object) -> str:
    """What a token adds to the cache, and where that changes with the length, the cache at some lengths."""
    from ropepp_eval.checkpoints.cache_layers import FullLayers
    from ropepp_eval.checkpoints.inspection import CheckpointInfo

    assert isinstance(info, CheckpointInfo)
    text = f"{info.kv_bytes_per_token:,} bytes a token in {info.dtype}"
    if all(isinstance(kind, FullLayers) for kind in info.cache):
        return text
    longest = info.max_position_embeddings
    lengths = sorted({length for length in (4096, 32768, 131072) if length < longest} | {longest})
    sizes = ", ".join(f"{info.cache_bytes(length) / 2**20:,.1f} MiB at {format_length(length)}" for length in lengths)
    return f"{text}; layers: {', '.join(kind.describe() for kind in info.cache)}; {sizes}"
