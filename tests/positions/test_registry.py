"""A position embedding in one file outside the package."""

from __future__ import annotations

import textwrap

import pytest

from ropepp_eval.errors import UserError
from ropepp_eval.positions import get_position, load_position_module, positions, registry

SOURCE = '''
from dataclasses import dataclass
from ropepp_eval.positions import Position, position

@position("{name}")
@dataclass(frozen=True, kw_only=True)
class Mine(Position):
    """Nothing at all."""
'''


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch):
    positions()
    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))
    monkeypatch.setattr(registry, "_loaded_files", set())


def written(folder, text):
    file = folder / "mine.py"
    file.write_text(textwrap.dedent(text))
    return file


def test_a_file_adds_a_position_once(tmp_path):
    file = written(tmp_path, SOURCE.format(name="from_a_file"))
    load_position_module(file)
    load_position_module(file)
    assert get_position("from_a_file").name == "from_a_file"
    assert "from_a_file" in positions()


def test_a_name_that_is_taken_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"'rope' is already registered by ropepp_eval.positions.rope"):
        load_position_module(written(tmp_path, SOURCE.format(name="rope")))


@pytest.mark.parametrize(("text", "word"), [
    ("x = 1", "registers no position"),
    ("import no_such_module", "ModuleNotFoundError"),
    ("def broken(:", "SyntaxError"),
])  # fmt: skip
def test_a_file_that_adds_nothing_is_refused_in_one_line(tmp_path, text, word):
    with pytest.raises(UserError, match=word) as refused:
        load_position_module(written(tmp_path, text))
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="is not a file"):
        load_position_module(tmp_path / "absent.py")


def test_an_entry_point_adds_a_position(tmp_path, monkeypatch):
    (tmp_path / "installed_positions.py").write_text(SOURCE.format(name="from_an_entry_point"))
    monkeypatch.syspath_prepend(str(tmp_path))
    info = tmp_path / "installed_positions-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: installed-positions\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ropepp_eval.positions]\nmine = installed_positions\n")
    assert "from_an_entry_point" in positions()
    assert "from_an_entry_point" in positions()
