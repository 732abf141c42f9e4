"""`data.json` in a data folder: which files were put there, from where, and their checksums."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from ropepp_eval.files import write_json
from ropepp_eval.outside import Outside, read_json

NAME = "data.json"
FORMAT = 1


class _StoredFile(Outside):
    model_config = ConfigDict(extra="forbid")
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size_bytes: Annotated[int, Field(ge=0)]
    origin: str


class _Stored(Outside):
    """`data.json` as it lies on disk."""

    model_config = ConfigDict(extra="forbid")
    format: Literal[1]  # `FORMAT`
    source: Literal["hub", "folder", "generated"]
    files: dict[str, _StoredFile]


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
    if not path.exists():
        return None
    content = read_json(path, _Stored, advice="run `ropepp-eval data prepare` again")
    files = {name: FileRecord(**record.model_dump()) for name, record in content.files.items()}
    return Manifest(source=content.source, files=files)


def write_manifest(root: Path, manifest: Manifest) -> None:
    """Write the manifest, atomically."""
    files = {name: asdict(manifest.files[name]) for name in sorted(manifest.files)}
    write_json(root / NAME, {"format": FORMAT, "source": manifest.source, "files": files})
