"""What a protocol changes in a benchmark: the data of `tasks/<benchmark>/protocols.yaml`, as that benchmark's settings."""

from __future__ import annotations

from typing import TypeVar

import yaml

from ropepp_eval.errors import unknown_name
from ropepp_eval.paths import resource_dir

Settings = TypeVar("Settings")
_CHAT = "+chat"


def protocol_label(protocol: str, prompt_format: str) -> str:
    """What results call the way rows were asked: rows in chat are of a protocol of their own, so that no table mixes the two."""
    return protocol if prompt_format == "base" else f"{protocol}+{prompt_format}"


def protocol_of(label: str) -> str:
    """The protocol that a label of `protocol_label` is of."""
    return label.removesuffix(_CHAT)


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
