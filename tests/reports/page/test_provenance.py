"""The command that a page says repeats a run does: parsed again it asks for the same."""

from __future__ import annotations

import dataclasses
import shlex

import pytest

from ropepp_eval.cli import parser_of
from ropepp_eval.reports.page.provenance import command_of
from ropepp_eval.runs.config import RunConfig
from ropepp_eval.runs.options import options_of

PLAIN = {"tasks": "niah_single_1,vt", "lengths": "1k,2k", "samples": 5}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {
            "seed": 7,
            "protocol": "paper",
            "dtype": "float32",
            "offline": True,
            "allow_beyond_trained_length": True,
            "out": "runs/x",
        },
        {"data_dir": "a folder's", "repeat_text": True, "position": "rope+pi8", "device": "cpu"},
        {"adapter_options": {"chunk_tokens": 2048, "truncate": "left", "deterministic": True}},
    ],
)
def test_the_command_asks_for_the_same(settings):
    config = RunConfig.of("models/demo/rope", "models/demo/ropepp_ec", **PLAIN, **settings)
    words = shlex.split(command_of(dataclasses.asdict(config)))
    assert words[:2] == ["ropepp-eval", "run"]
    again = options_of(vars(parser_of("run").parse_args(words[2:]))).config()
    assert again == config


def test_a_run_that_says_nothing_has_no_command():
    assert command_of({}) == ""
