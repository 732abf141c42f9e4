"""The walks, step by step, each in a folder of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.walks import engineer, lm_eval_user, researcher
from tests.walks.walking import checkout, take
from tests.warm.start import Warm


@pytest.mark.slow
@pytest.mark.parametrize(
    ("walk", "terminal"),
    [(researcher, False), (lm_eval_user, False), (engineer, True)],
    ids=["researcher", "lm-eval user", "engineer"],
)
def test_a_walk(walk: object, terminal: bool, tmp_path: Path, warm: Warm) -> None:
    """The one in a terminal with the command as it is installed, the others with warm ones."""
    folder = checkout(tmp_path)
    scripts = Path(sys.executable).parent if terminal else warm.scripts()
    for step in walk.STEPS:  # type: ignore[attr-defined]
        take(step, folder, scripts=scripts, terminal=terminal)
