"""The command line as a whole: help, unknown commands, errors in one line."""

import importlib
import subprocess
import sys

import pytest

from ropepp_eval.cli import COMMANDS, main, parser_of


def test_help_imports_nothing_heavy() -> None:
    code = "import sys\nfrom ropepp_eval.cli import main\nassert main(['--help']) == 0\n"
    heavy = "torch transformers lm_eval pandas numpy datasets matplotlib vllm"
    check = f"print('heavy:', [m for m in {heavy.split()!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code + check], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy: []"


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, ropepp_eval; print([m for m in ('torch', 'transformers', 'lm_eval', 'pandas') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "lm-eval"])
def test_every_command_has_help_and_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parser_of(command).parse_args(["--help"])
    assert stop.value.code == 0
    said = capsys.readouterr().out
    assert f"ropepp-eval {command}" in said
    assert "example:" in said
    assert len(COMMANDS[command]) < 90


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "lm-eval"])
def test_every_option_has_help(command: str) -> None:
    assert not [action.dest for action in parser_of(command)._actions if not action.help]


def test_every_command_module_is_in_the_table() -> None:
    for command in COMMANDS:
        module = importlib.import_module(f"ropepp_eval.cli.{command.replace('-', '_')}")
        assert module.HELP
        assert module.EXAMPLE.startswith(f"ropepp-eval {command}")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["tabel"], "unknown command 'tabel'; did you mean table?"),
        (["run"], "no checkpoint was named"),
        (["run", "x", "--task", "ruler"], "unknown option '--task'; did you mean --tasks?"),
        (["run", "x", "--limit", "5"], "unknown option '--limit'; did you mean --samples?"),
        (["run", "x", "--output_path=runs/x"], "unknown option '--output_path'; did you mean --out?"),
        (["run", "x", "--data_dir", "data"], "unknown option '--data_dir'; did you mean --data-dir?"),
        (["run", "x", "--tasks", "vt", "--lengths", "2k", "--format", "xls"], "unknown format 'xls'; known: csv, html"),
        (["table", "runs/x", "--formt", "csv"], "unknown option '--formt'; did you mean --format?"),
        (["run", "x", "--tasks", "vt", "--lengths", "2k", "--dtype", "fp31"], "unknown dtype 'fp31'; did you mean fp32"),
        (["run", "x", "--tasks", "vt", "--lengths", "2k", "--device", "gpu"], "device 'gpu' is not known"),
        (["run", "x", "--tasks", "vt", "--lengths", "2k", "--truncate", "right"], "truncate 'right' is not known"),
        (["run", "x", "--tasks", "niah_single_1", "--lengths", "3x"], "length '3x' is not a context length"),
        (
            ["run", "x", "--tasks", "niah_singel_1", "--lengths", "2k"],
            "unknown task 'niah_singel_1'; did you mean niah_single_1",
        ),
        (["run", "x", "--tasks", "niah_single_1", "--lengths", "2k", "--samples", "0"], "samples 0 is below 1"),
        (["run", "x", "--tasks", "niah_single_1", "--lengths", "2k", "--protocol", "papr"], "protocol 'papr' is not known"),
        (["tasks", "show"], "no task was named"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_status_2(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert expected in said.err
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err
