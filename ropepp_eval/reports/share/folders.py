"""A folder that is written whole or not at all, and never over something else."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from ropepp_eval.errors import UserError
from ropepp_eval.files import write_json

MARK = ".ropepp-eval-share.json"
"""Lists the files of a shared folder: what is not in it was put there by somebody else."""


@contextlib.contextmanager
def shared_folder(out: Path, form: str, sources: Sequence[str | Path]) -> Iterator[Path]:
    """An empty folder beside `out`, which takes its place when the body ends well. Else nothing is left of it.

    Raises:
        UserError: `out` lies in a results folder, or is there and holds something that no earlier call wrote.
    """
    out = out.resolve()
    _check_place(out, [Path(source).resolve() for source in sources])
    missing = [folder for folder in out.parents if not folder.exists()]
    made: Path | None = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name[:40]}.", suffix=".part"))
        yield made
        write_json(made / MARK, {"format": 1, "form": form, "files": files_of(made)})
        _flush(made)
        made.chmod(0o755)
        _put(made, out)
    except BaseException:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)
        for folder in missing:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def files_of(folder: Path) -> list[str]:
    """Paths inside it, but for the mark."""
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(name for path in found if (name := path.relative_to(folder).as_posix()) != MARK)


def _check_place(out: Path, sources: Sequence[Path]) -> None:
    for source in sources:
        if out == source or source in out.parents:
            raise UserError(f"--out {out} lies in the results folder {source}; name a folder beside it")
        if out in source.parents:
            raise UserError(f"--out {out} holds the results folder {source}; name a folder of its own")
    if not out.exists():
        return
    if not out.is_dir():
        raise UserError(f"--out {out} is a file; name a new folder")
    foreign = sorted(set(files_of(out)) - _written(out / MARK))
    if foreign:
        raise UserError(
            f"--out {out} holds {foreign[0]!r}, which `ropepp-eval share` did not write; name a new folder, or move that away"
        )


def _written(mark: Path) -> set[str]:
    """What an earlier call wrote; nothing where the mark is none."""
    try:
        files = json.loads(mark.read_bytes())["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    return {name for name in files if isinstance(name, str)} if isinstance(files, list) else set()


def _flush(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _put(made: Path, out: Path) -> None:
    """Rename `made` to `out`; what was there goes only when the new one stands."""
    if not out.exists():
        made.rename(out)
        return
    old = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name[:40]}.", suffix=".old"))
    out.rename(old)
    try:
        made.rename(out)
    except BaseException:
        old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)
