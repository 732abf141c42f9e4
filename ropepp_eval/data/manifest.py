"""`data.json` in a data folder: which files were put there, from where, and their checksums."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ropepp_eval.errors import UserError
from ropepp_eval.files import write_json

NAME = "data.json"
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class FileRecord:
    """One file that `data prepare` put into the folder."""

    sha256: str
    size_bytes: int
    origin: str
    """`folder`, or `hub:REPOSITORY@REVISION/PATH`."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a data folder was prepared with."""

    source: str
    """`hub`, `folder` or `generated`; a generated folder holds no files, tasks make their text themselves."""
    files: dict[str, FileRecord]
    """By path inside the folder."""


def read_manifest(root: Path) -> Manifest | None:
    """The manifest of a folder, None where it has none (a folder put together by hand).

    Raises:
        UserError: it does not parse, or is of a format this release does not know.
    """
    path = root / NAME
    if not path.is_file():
        return None
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise UserError(f"{path} has format {content['format']}, this release reads {FORMAT}; prepare the folder anew")
        files = {name: FileRecord(**record) for name, record in content["files"].items()}
        return Manifest(source=content["source"], files=files)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is broken ({error}); run `ropepp-eval data prepare` again") from error


def write_manifest(root: Path, manifest: Manifest) -> None:
    """Write the manifest, atomically."""
    files = {name: asdict(manifest.files[name]) for name in sorted(manifest.files)}
    write_json(root / NAME, {"format": FORMAT, "source": manifest.source, "files": files})
