"""`ropepp-eval models`: the cards of published checkpoints."""

from __future__ import annotations

import argparse
import json

HELP = "List the published checkpoints that can be named without a folder, or show one card."
EXAMPLE = "ropepp-eval models RoPEPP_EC-DCLM-376M-32k"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="card to show in full; without it all are listed")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="text (default) or json")


def main(args: argparse.Namespace) -> int:
    from ropepp_eval.checkpoints.cards import find_card, list_cards

    cards = [find_card(args.name)] if args.name else list_cards()
    if args.format == "json":
        print(json.dumps([card.model_dump() for card in cards], indent=1))
    elif args.name:
        fields = cards[0].model_dump()
        width = max(map(len, fields))
        print("\n".join(f"{name:<{width}}  {shown(value)}" for name, value in fields.items()))
    else:
        print(listing([card.model_dump() for card in cards]))
    return 0


def shown(value: object) -> str:
    """A card's field in one line."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(shown(part) for part in value) or "none of the paper's tables"
    return f"{value:,}" if isinstance(value, int) else str(value)


def listing(cards: list[dict[str, object]]) -> str:
    """One line a card, and what to do about the tokenizer."""
    head = ["name", "position", "base", "trained", "parameters", "cache bytes/token", "paper"]
    rows = [
        [
            str(card["name"]),
            str(card["position"]),
            "-" if card["base"] is None else f"{card['base']:,.0f}",
            shown(card["trained_length_tokens"]),
            shown(card["parameters"]),
            shown(card["kv_bytes_per_token"]),
            ", ".join(row["table"] for row in card["published"]) or "-",  # type: ignore[attr-defined]
        ]
        for card in cards
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in [head, *rows]
    ]
    notes = sorted({f"tokenizer {card['tokenizer']}: {card['tokenizer_note']}" for card in cards})
    return "\n".join([*lines, "", *notes, "Evaluate one by its name: ropepp-eval run NAME ..."])
