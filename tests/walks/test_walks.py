"""The walks, step by step, each in a folder of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.walks import engineer, lm_eval_user, researcher
from tests.walks.walking import checkout, take


@pytest.mark.slow
@pytest.mark.parametrize(
    ("walk", "terminal"),
    [(researcher, False), (lm_eval_user, False), (engineer, True)],
    ids=["researcher", "lm-eval user", "engineer"],
)
def test_a_walk(walk: object, terminal: bool, tmp_path: Path) -> None:
    folder = checkout(tmp_path)
    for step in walk.STEPS:  # type: ignore[attr-defined]
        take(step, folder, terminal=terminal)
