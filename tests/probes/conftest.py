"""Demo models and rows that several tests look into."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ropepp_eval.checkpoints.loading import load_checkpoint
from ropepp_eval.probes import rows_of

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "models" / "demo"


@pytest.fixture(scope="session")
def ec() -> Any:
    return load_checkpoint(DEMO / "ropepp_ec", dtype="float32")


@pytest.fixture(scope="session")
def rows(ec: Any) -> list[Any]:
    """Two rows with a needle, of 256 tokens."""
    return rows_of("niah_single_1", 256, ec, samples=2)
