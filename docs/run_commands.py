"""Run the commands that README.md and docs/*.md show, and write or check the output they show.

A fenced block that begins with ```console holds commands (lines that begin with `$ `) and, below each, its output. A comment line
before the block says where it is not run (`<!-- not run: needs a GPU -->`), or with which status its commands end where that is not 0
(`<!-- status: 2 -->`). A command that ends otherwise, or that sends a stream to nowhere, is refused: nothing that fails stays unseen.
Outputs are compared with times, dates and hashes masked, and as a terminal leaves them: of a line that was written over, the last state.
A ```text block after a line `<!-- file: NAME -->` shows that file of the checkout; any block after `<!-- write: NAME -->` is written to
that file before the commands run.

    python docs/run_commands.py --write README.md     # run everything and write what was printed
    python docs/run_commands.py --check README.md     # exit status 1 where the shown output is not the real one
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = Path(sys.executable).parent
"""The folder in which a command is looked for first."""
_BLOCK = re.compile(r"(?P<before>(?:<!-- (?:not run|status): [^\n]* -->\n)?)```console\n(?P<body>.*?)```", re.DOTALL)
_STATUS = re.compile(r"<!-- status: (\d+) -->")
_SILENCED = re.compile(r"/dev/null|>&-|&>|\|\|\s*(?:true|:)")
_FILE = re.compile(r"(?P<before><!-- file: (?P<name>\S+) -->\n)```text\n.*?```", re.DOTALL)
_WRITTEN = re.compile(r"<!-- write: (?P<name>\S+) -->\n```\w*\n(?P<body>.*?)```", re.DOTALL)
_MASKS = [
    (re.compile(r"\d+\.\d+ s\b"), "N s"),
    (re.compile(r"\d{4}-\d\d-\d\d:\d\d:\d\d:\d\d"), "DATE"),
    (re.compile(r"\[\d\d:\d\d<\d\d:\d\d, +[\d.]+(?:it/s|s/it)\]"), "[RATE]"),
    (re.compile(r"\b[0-9a-f]{12,64}\b"), "HASH"),
    (re.compile(r"[ \t]+$", re.MULTILINE), ""),
]


@dataclass(frozen=True)
class Shown:
    """One command of a document and the output shown below it."""

    command: str
    output: str
    skipped: str
    """Why it is not run; empty where it is."""
    status: int = 0
    """How it must end."""


class Refused(Exception):
    """A command that did not end as its document says, or that hides what it prints."""


def shown_commands(text: str) -> list[Shown]:
    """Every command of a document, in order."""
    found = []
    for match in _BLOCK.finditer(text):
        reason, status = _said_before(match)
        for part in re.split(r"^\$ ", match["body"], flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            while command.endswith("\\"):
                more, _, output = output.partition("\n")
                command = command[:-1] + more.strip()
            found.append(Shown(command, output, reason, status))
    return found


def _said_before(block: re.Match[str]) -> tuple[str, int]:
    """Why a block is not run (empty where it is), and with which status its commands end."""
    status = _STATUS.match(block["before"])
    if status is not None:
        return "", int(status[1])
    return block["before"].removeprefix("<!-- not run: ").split(" -->")[0].strip(), 0


def masked(output: str) -> str:
    """Output without what differs from run to run."""
    for pattern, replacement in _MASKS:
        output = pattern.sub(replacement, output)
    return output.strip()


def workplace(folder: Path) -> Path:
    """`folder` as a checkout without runs of its own: links to everything at the top of this one."""
    for path in ROOT.iterdir():
        if path.name != "runs" and not (folder / path.name).exists():
            (folder / path.name).symlink_to(path)
    return folder


def run(command: str, folder: Path, status: int = 0) -> str:
    """What a command prints in `folder`, standard error included, with `COMMANDS` and this Python's commands first.

    Raises:
        Refused: it ends with another status, or sends a stream to nowhere.
    """
    if _SILENCED.search(command):
        raise Refused(f"`{command}` hides what it prints; a document shows all of it")
    path = os.pathsep.join([str(COMMANDS), str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = {**os.environ, "PATH": path, "HF_HUB_OFFLINE": "1", "COLUMNS": "120", "NO_COLOR": "1"}
    done = subprocess.run(command, shell=True, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    printed = done.stdout.decode("utf-8")
    if done.returncode != status:
        raise Refused(f"`{command}` ended with status {done.returncode}, not {status}; it printed:\n{printed}")
    return as_a_terminal_leaves_it(printed)


def as_a_terminal_leaves_it(output: str) -> str:
    """Of each line that was written over (a progress bar), what was written last."""
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in output.split("\n"))


def write_files(text: str, folder: Path) -> None:
    """The files that a document has its reader write, in `folder`."""
    for match in _WRITTEN.finditer(text):
        (folder / match["name"]).parent.mkdir(parents=True, exist_ok=True)
        (folder / match["name"]).write_text(match["body"], encoding="utf-8")


def rewritten(text: str, folder: Path) -> str:
    """The document with the real output below each command that can be run, each in `folder`, and the files it shows."""

    def block(match: re.Match[str]) -> str:
        reason, status = _said_before(match)
        if reason:
            return match[0]
        body = ""
        for part in re.split(r"^\$ ", match["body"], flags=re.MULTILINE)[1:]:
            lines = part.split("\n")
            length = next(i for i, line in enumerate(lines) if not line.endswith("\\")) + 1
            command = " ".join(line.rstrip("\\").strip() for line in lines[:length])
            printed = run(command, folder, status).rstrip("\n")
            body += "$ " + "\n".join(lines[:length]) + "\n" + (f"{printed}\n" if printed else "")
        return f"{match['before']}```console\n{body}```"

    def file(match: re.Match[str]) -> str:
        return f"{match['before']}```text\n{(ROOT / match['name']).read_text(encoding='utf-8').rstrip()}\n```"

    write_files(text, folder)
    return _FILE.sub(file, _BLOCK.sub(block, text))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write what was printed")
    parser.add_argument("--check", action="store_true", help="compare only")
    parser.add_argument("files", nargs="+", type=Path)
    args = parser.parse_args()
    wrong = refused = 0
    for path in args.files:
        old = path.read_text(encoding="utf-8")
        try:
            with tempfile.TemporaryDirectory() as folder:
                new = rewritten(old, workplace(Path(folder)))
        except Refused as error:
            print(f"{path}: {error}")
            refused += 1
            continue
        if masked(new) != masked(old):
            wrong += 1
            print(f"{path}: the shown output is not the real one")
        if args.write:
            path.write_text(new, encoding="utf-8")
    return int(refused > 0 or (wrong > 0 and not args.write))


if __name__ == "__main__":
    sys.exit(main())
