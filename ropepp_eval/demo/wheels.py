"""Wheels of the package index that carry files of a model: fetched once, taken only by the hash that is pinned here."""

from __future__ import annotations

import os
import subprocess
import sys
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
