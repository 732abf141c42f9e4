"""What a protocol may change in OpenBookQA."""

from __future__ import annotations

from dataclasses import dataclass, field

from ropepp_eval.rows.ranking import RankingSettings


@dataclass(frozen=True, kw_only=True)
class OpenBookSettings(RankingSettings):
    """One protocol of `protocols.yaml`."""

    ranking: str
    """How the choices of `openbookqa` are compared: `continuation` or `whole_text`."""
    templates: dict[str, object] = field(default_factory=dict)
    window_tokens: int = 0
