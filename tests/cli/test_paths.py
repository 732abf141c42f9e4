"""`~` is the home folder in every option of every command and in the Python API."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from ropepp_eval.cli import COMMANDS, parser_of
from ropepp_eval.cli.lm_eval import own_options
from ropepp_eval.cli.options import path
from ropepp_eval.runs.config import RunConfig


def _path_options(command: str) -> list[argparse.Action]:
    """The options and arguments of a command that may name a file or folder, told by their own words."""
    named = re.compile(r"\b(folders?|DIR|FILE)\b", re.IGNORECASE)
    actions = [action for action in parser_of(command)._actions if action.nargs != 0]
    return [action for action in actions if named.search(f"{action.metavar} {action.help}") and not _names_none(action)]


def _names_none(action: argparse.Action) -> bool:
    return action.dest in ("name", "action")


EVERY = [(command, action.dest) for command in COMMANDS if command != "lm-eval" for action in _path_options(command)]


def test_the_list_of_path_options_is_no_empty_one() -> None:
    wanted = {("run", "checkpoints"), ("run", "out"), ("run", "tokenizer"), ("run", "data_dir"), ("run", "position_module")}
    wanted |= {("data", "folder"), ("data", "into"), ("data", "source"), ("table", "dirs"), ("plot", "out")}
    wanted |= {("inspect", "checkpoint"), ("export", "checkpoint"), ("export", "target"), ("tasks", "data_dir")}
    assert wanted <= set(EVERY)


@pytest.mark.parametrize(("command", "dest"), EVERY)
def test_every_path_option_takes_the_home_folder(command: str, dest: str) -> None:
    action = next(action for action in parser_of(command)._actions if action.dest == dest)
    assert action.type is path, f"ropepp-eval {command}: give {dest} the type cli.options.path"


def test_the_type_leaves_everything_else_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert path("~/runs") == "/home/ann/runs"
    assert path("~") == "/home/ann"
    assert [path(text) for text in ("a/~b", "gpt2", "./~/x", "")] == ["a/~b", "gpt2", "./~/x", ""]


def test_the_python_api_takes_the_home_folder_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    settings = {name: f"~/{name}" for name in ("out", "tokenizer", "data_dir")}
    config = RunConfig.of("~/mine", Path("~/other"), tasks=["vt"], lengths=["4k"], **settings)
    assert config.checkpoints == ("/home/ann/mine", "/home/ann/other")
    assert (config.out, config.tokenizer, config.data_dir) == (
        "/home/ann/out",
        "/home/ann/tokenizer",
        "/home/ann/data_dir",
    )


def test_lm_evals_arguments_take_it_at_the_begin_of_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    given = [
        "--model_args",
        "pretrained=~/mine,tokenizer=~/tok",
        "--output_path",
        "~/out",
        "--metadata",
        '{"data_dir": "~/d"}',
    ]
    assert own_options(given)[1] == [
        "--model_args",
        "pretrained=/home/ann/mine,tokenizer=/home/ann/tok",
        "--output_path",
        "/home/ann/out",
        "--metadata",
        '{"data_dir": "/home/ann/d"}',
    ]
