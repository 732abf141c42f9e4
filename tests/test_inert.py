"""Output is inert: whatever names, answers and notes hold, a terminal, a table, a spreadsheet and a picture show it and do no more."""

from __future__ import annotations

import ast
import csv
import io
import json
import os
import pty
import re
import subprocess
import sys
import unicodedata
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropepp_eval.cli import main
from ropepp_eval.errors import Interrupted, UserError
from ropepp_eval.inert import InertStream, inert
from ropepp_eval.reports.formats import FORMATS
from tests.reports.results_folders import FakeCell, write_run

ROOT = Path(__file__).resolve().parents[1]
NAMES = {
    "colour": "a\x1b[31mred",
    "window title": "a\x1b]0;title\x07",
    "C1 control": "a\x9b31m",
    "rubout": "a\x7f\x08b",
    "line end": "a\nb",
    "carriage return": "a\rb",
    "line separator": "a\u2028b\x85c",
    "right to left": "a\u202egnp.exe",
    "zero width": "a\u200bb",
    "private": "a\ue000\U000f0000b",
    "mathematics": r"$\frac$ a $x^2$",
    "one dollar": "a$b",
    "formula": "=1+1",
    "formula at": "@SUM(A1)",
    "formula minus": "-2+3",
    "formula after a blank": " =1+1",
    "markup": "[bold]a[/bold] <b>`x`</b> | \\",
    "chinese": "\u957f\u4e0a\u4e0b\u6587",
}
LAYOUTS = ("lengths", "tasks", "depth", "paper2")


def hostile(text: str, keep: str = "\n") -> list[str]:
    """Characters that act: all that Unicode calls control, format, surrogate, private, unassigned or a separator of lines."""
    return [c for c in text if c not in keep and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")]


@pytest.fixture
def shown(capsys):
    """What a command prints on standard output; status 0, and nothing that acts on either stream."""

    def run(*arguments: object) -> str:
        capsys.readouterr()
        assert main([str(argument) for argument in arguments]) == 0
        said = capsys.readouterr()
        assert (hostile(said.out), hostile(said.err)) == ([], [])
        return str(said.out)

    return run


@pytest.fixture(params=range(3))
def names(request) -> list[str]:
    """A third of the names at a time, so that few runs hold them all."""
    return list(NAMES.values())[request.param :: 3]


@pytest.fixture
def folder(tmp_path, names) -> Path:
    """A run whose checkpoints, their notes and one of whose tasks have the names."""
    cells = [
        FakeCell(
            checkpoint=name,
            sha256=f"{place:064x}",
            length_tokens=length,
            task=task,
            scores=[float(place == 0), 1.0, 0.0, 1.0],
            depths=[5.0, 15.0, 25.0, 35.0],
            stand_in=True,
            info={"note": f"note {name}", "kv_bytes_per_token": 1024, "max_position_embeddings": 4096},
        )
        for place, name in enumerate(names)
        for length in (2048, 4096)
        for task in ("niah_single_1", names[0])
    ]
    return write_run(tmp_path / "run", cells)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_tables_of_every_layout_and_format_are_inert(folder, shown, layout):
    for form in FORMATS:
        assert shown("table", folder, "--layout", layout, "--format", form, "--ci", "--counts", "rows,failed,cut,fill")


@pytest.mark.parametrize("width", ["40", "80", ""])
def test_a_name_is_one_line_of_a_text_table(folder, shown, monkeypatch, names, width):
    monkeypatch.setenv("COLUMNS", width)
    lines = shown("table", folder, "--layout", "tasks", "--counts", "rows").splitlines()
    assert max(map(len, lines)) <= int(width or 10_000)
    if not width:
        for name in names:
            assert sum(line.startswith(f"{inert(name)} ") for line in lines) == 2


def test_json_holds_every_name(folder, shown, names):
    (section,) = json.loads(shown("table", folder, "--format", "json"))["sections"]
    assert {line["task"] for line in section["lines"]} >= {names[0]}, "as it was written"
    assert {line["checkpoint"] for line in section["lines"]} == {*map(inert, names)}, "as every table calls it"


def test_no_cell_of_a_csv_is_a_formula(folder, shown):
    lines = list(csv.reader(io.StringIO(shown("table", folder, "--format", "csv", "--ci"))))
    assert len({len(line) for line in lines}) == 1
    words = [cell for line in lines for cell in line if not re.fullmatch(r"-?\d+(\.\d+)?(e-?\d+)?", cell)]
    assert not [cell for cell in words if cell.lstrip()[:1] in tuple("=+-@\t\r")]


def test_markdown_tables_keep_their_columns(folder, shown):
    rows = [line for line in shown("table", folder, "--format", "markdown").splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) for row in rows}) == 1


def test_html_shows_the_names_and_no_tag_of_theirs(folder, shown, names):
    class Page(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.tags: set[str] = set()
            self.words: list[str] = []

        def handle_starttag(self, tag, attrs):
            self.tags.add(tag)

        def handle_data(self, data):
            self.words.append(data)

    page = Page()
    page.feed(shown("table", folder, "--format", "html", "--plain"))
    assert "b" not in page.tags
    assert {*map(inert, names)} <= {*page.words}


def test_comparisons_are_inert(folder, shown, names):
    for form, name in zip(FORMATS, names[1:], strict=False):
        assert shown("compare", "--format", form, "--", inert(names[0]), inert(name), folder)


def test_pictures_show_the_names_as_they_stand(folder, shown, tmp_path, names):
    written = shown("plot", folder, "--out", tmp_path / "plots", "--format", "png,svg").splitlines()
    assert len(written) == len({*written}) >= 6
    for path in written:
        assert not hostile(path)
        if path.endswith(".svg"):
            words = [element.text or "" for element in ElementTree.parse(path).iter() if element.tag.endswith("}text")]
            for name in names:
                spelled = "".join(c if ord(c) < 0x3000 else ascii(c)[1:-1] for c in inert(name)).strip()
                assert spelled in "".join(words), (spelled, words)  # a long one goes over two lines


def wrong_commands(folder: Path, name: str) -> list[tuple[object, ...]]:
    return [
        ("table", folder / name),
        ("table", folder, "--layout", name),
        ("compare", name, name, folder),
        ("plot", folder, "--kind", name),
        ("run", folder / name, "--tasks", "niah_single_1", "--lengths", "2k"),
        ("run", folder, "--tasks", name, "--lengths", "2k"),
        ("run", folder, "--tasks", "niah_single_1", "--lengths", name),
        ("inspect", folder / name),
        ("tasks", "show", name, "--tokenizer", folder),
        ("data", "check", folder / name),
        (name,),
    ]


def test_errors_are_one_line_whatever_was_given(capsys, tmp_path, names):
    for arguments in [command for name in names for command in wrong_commands(tmp_path, name)]:
        assert main([str(argument) for argument in arguments]) in (1, 2)
        said = capsys.readouterr()
        assert [line.startswith("error: ") for line in said.err.splitlines() if line != "reading 1 checkpoint ..."] == [
            True
        ], said.err
        assert not hostile(said.err)
        assert not hostile(said.out)


@pytest.mark.parametrize("error", [UserError, Interrupted, OSError])
def test_what_an_exception_says_is_inert_with_its_traceback(monkeypatch, capsys, error):
    def raises(args: object) -> int:
        raise error("a\x1b[31m\nb")

    monkeypatch.setattr("ropepp_eval.cli.table.main", raises)
    assert main(["--debug", "table", "x"]) in (2, 3, 130)
    assert not hostile(capsys.readouterr().err)


@given(st.text())
def test_inert_text_is_one_printable_line_and_json_reads_it_back(text):
    written = inert(text)
    assert len(written.splitlines()) <= 1
    assert not hostile(written)
    assert json.loads(inert(json.dumps(text, ensure_ascii=False))) == text


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_a_stream_of_any_encoding_takes_everything(encoding):
    raw = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    stream = InertStream(raw)
    for text in NAMES.values():
        print(text, file=stream)
    stream.writelines(["a\udc80\x1b", "b\n"])
    raw.flush()
    assert not hostile(raw.buffer.getvalue().decode(encoding), "\n\t")


def on_a_terminal(*arguments: object) -> str:
    """What a command sends to a terminal of its own, 80 columns wide."""
    main_end, command_end = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80"}
    command = [sys.executable, "-m", "ropepp_eval", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=command_end, stderr=command_end, stdin=command_end, env=environment, cwd=ROOT)
    os.close(command_end)
    said = b""
    while True:
        try:
            part = os.read(main_end, 65536)
        except OSError:  # Linux's way to say that the other end is closed
            break
        if not part:
            break
        said += part
    os.close(main_end)
    assert process.wait() == 0, said
    return said.decode()


def test_a_terminal_gets_our_styles_and_no_others(tmp_path):
    cells = [FakeCell(checkpoint="\n".join(NAMES.values()), sha256="1" * 64), FakeCell(scores=[0.0] * 4)]
    said = on_a_terminal("table", write_run(tmp_path / "run", cells)).replace("\r\n", "\n")
    styles = {*re.findall(r"\x1b\[([\d;]*)m", said)}
    assert styles <= {"0", "1", "2", "4"}
    assert styles >= {"0", "1"}
    plain = re.sub(r"\x1b\[[\d;]*m", "", said)
    assert not hostile(plain)
    assert max(map(len, plain.splitlines())) <= 80


def test_nothing_prints_past_the_one_way_out():
    """No code writes to the process's own streams or descriptors; a few places style or move streams and are known."""
    styled = {
        "reports/text.py",
        "reports/formats.py",
        "runs/progress.py",
        "adapters/vllm/engine.py",
        "cli/status.py",
        "inert.py",
    }
    for path in sorted((ROOT / "ropepp_eval").rglob("*.py")):
        place = path.relative_to(ROOT / "ropepp_eval").as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = ast.unparse(node) if isinstance(node, (ast.Attribute, ast.Name)) else ""
            past = name in {"raw_stream", "sys.__stdout__", "sys.__stderr__", "os.write"} or re.match(
                r"sys\.std(out|err)\.(buffer|raw)|(Console|RichProgress)$", name
            )
            assert not past or place in styled, f"{place}:{getattr(node, 'lineno', 0)} {name}"
