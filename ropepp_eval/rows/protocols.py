"""What a protocol changes in a benchmark: the data of `tasks/<benchmark>/protocols.yaml`, as that benchmark's settings."""

from __future__ import annotations

from typing import TypeVar

import yaml

from ropepp_eval.errors import unknown_name
from ropepp_eval.paths import resource_dir

Settings = TypeVar("Settings")


def protocol_settings(benchmark: str, protocol: str, settings: type[Settings]) -> Settings:
    """The settings of `protocol` (`reference` or `paper`), as a frozen dataclass of the benchmark's own.

    Raises:
        UserError: the benchmark has no such protocol.
        TypeError: the file and the dataclass name different fields (a bug of ours).
    """
    path = resource_dir("tasks") / benchmark / "protocols.yaml"
    protocols = yaml.safe_load(path.read_text(encoding="utf-8"))
    if protocol not in protocols:
        raise unknown_name("protocol", protocol, protocols, f"benchmark {benchmark} has these; choose one with --protocol")
    return settings(**protocols[protocol])
