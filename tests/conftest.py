"""Shared fixtures: where the golden files are, and a clean skip where they are not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("ROPEPP_EVAL_SHARED", Path(__file__).resolve().parents[2] / "shared"))


def shared_folder(*parts: str) -> Path:
    """A folder of the reference material, or a skip that says what is missing."""
    folder = SHARED.joinpath(*parts)
    if not folder.exists():
        pytest.skip(f"reference material is not here: {folder} (set ROPEPP_EVAL_SHARED)")
    return folder


@pytest.fixture(scope="session")
def golden() -> Path:
    """Golden checkpoints and their reference outputs."""
    return shared_folder("golden")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Real corpora in the data folder's layout."""
    return shared_folder("data")


@pytest.fixture(scope="session")
def gpt2_tokenizer_dir(data_dir: Path) -> Path:
    return data_dir / "gpt2-tokenizer"
