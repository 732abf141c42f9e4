"""The zoo: one YAML card a published checkpoint, with what its folder alone can't tell and what it must turn out to hold."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict

from ropepp_eval.errors import UserError, unknown_name
from ropepp_eval.inert import inert
from ropepp_eval.outside import Items, Outside, read_yaml, shown
from ropepp_eval.paths import resource_dir

if TYPE_CHECKING:
    from ropepp_eval.modeling.configuration import RopePPConfig


class Card(Outside):
    """A published checkpoint."""

    model_config = ConfigDict(extra="forbid")

    name: str
    """What `ropepp-eval run` takes: the repository's own name."""
    hub_id: str
    position: str
    """Position embedding, with its scaling if it has one, such as `ropepp_ec` or `rope+pi8`."""
    base: float | None
    """Rotary base; None where nothing rotates."""
    trained_length_tokens: int
    tokenizer: str
    """Hub id of its tokenizer."""
    tokenizer_note: str
    """What to do to get it."""
    published: Items[dict[str, str]]
    """Rows of the paper's tables that it fills: table, size, method, and stage where the table has one."""
    shape: dict[str, int]
    """Fields of its config.json that say how large it is."""
    parameters: int
    """Entries of all its tensors."""
    kv_bytes_per_token: int
    """Bytes that a token adds to the cache in bfloat16."""


def list_cards() -> list[Card]:
    """All cards, by file name."""
    return list(_cards(resource_dir("models")).values())


def find_card(name: str) -> Card:
    """The card of a name, such as `RoPEPP_EC-DCLM-376M-32k`. Raises UserError with near matches where there is none."""
    cards = _cards(resource_dir("models"))
    if name not in cards:
        raise unknown_name("card", name, cards, "`ropepp-eval models` lists them")
    return cards[name]


def has_card(name: str) -> bool:
    """Whether there is a card of this name."""
    return name in _cards(resource_dir("models"))


@functools.lru_cache(maxsize=4)
def _cards(folder: Path) -> dict[str, Card]:
    cards = [_read(file) for file in sorted(folder.glob("*.yaml"))]
    return {card.name: card for card in cards}


def _read(file: Path) -> Card:
    card = read_yaml(file, Card)
    if card.name != file.stem:
        raise UserError(f"card {inert(file)} names {shown(card.name)}; name it as its file")
    return card


def stretched(card: Card, position: str) -> str:
    """A position as the user wrote it; a scaling alone (`+pi8`) is one of the card's own embedding."""
    return card.position.partition("+")[0] + position if position.startswith("+") else position


def config_of_card(card: Card, position: str | None = None) -> RopePPConfig:
    """The model's config as the card describes it, or with another position; `expected_shapes` of it builds the shape without weights."""
    from ropepp_eval.modeling.configuration import RopePPConfig
    from ropepp_eval.positions import parse_position
    from ropepp_eval.positions.registry import parse_position_settings, with_settings

    asked = card.position if position is None else stretched(card, position)
    kind, scaling, _ = parse_position(asked)
    published = {"max_position_embeddings": card.trained_length_tokens, "rope_theta": card.base}
    embedding = with_settings(kind.from_published(published, scaling), parse_position_settings(asked))
    return RopePPConfig(
        **card.shape,
        **embedding.to_hf(),
        position=kind.name,
        max_position_embeddings=card.trained_length_tokens,
    )


def check_card(card: Card, config: RopePPConfig, parameters: int) -> None:
    """Raise UserError for the first field of a card that the checkpoint contradicts."""
    found: dict[str, Any] = {name: getattr(config, name) for name in card.shape}
    wanted: dict[str, Any] = dict(card.shape)
    base = getattr(config.position_embedding, "base", None)
    found |= {"base": base, "parameters": parameters}
    wanted |= {"base": card.base, "parameters": card.parameters}
    for field, value in wanted.items():
        if found[field] != value:
            raise UserError(
                f"card {card.name} says {field} {value}, the checkpoint has {found[field]}; "
                f"correct the card, or name {card.hub_id} or its folder to go without it"
            )
