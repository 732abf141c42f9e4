"""What a protocol may change in BABILong."""

from __future__ import annotations

from dataclasses import dataclass

from ropepp_eval.errors import UserError

PROMPT_FORMS = ("text", "list")


@dataclass(frozen=True, kw_only=True)
class BabilongSettings:
    """One protocol of `protocols.yaml`."""

    max_new_tokens: int
    """Generation budget of a row."""
    prompt_form: str
    """`text`, or `list`: the text form of a Python list that holds the prompt."""
    suffix: str
    """What follows the prompt."""
    scoring: str
    """Name of the comparison behind `accuracy`, a key of `scoring.RULES`."""

    def __post_init__(self) -> None:
        if self.prompt_form not in PROMPT_FORMS:
            raise UserError(
                f"babilong/protocols.yaml: prompt_form {self.prompt_form!r} may be {' or '.join(PROMPT_FORMS)}; correct it"
            )

    def model_input(self, prompt: str) -> str:
        """The string that reaches the model."""
        return (repr([prompt]) if self.prompt_form == "list" else prompt) + self.suffix

    def inside(self, text: str) -> str:
        """How `text` reads inside `model_input`, up to the choice of quotes: for estimates of its tokens."""
        return repr(text)[1:-1] if self.prompt_form == "list" else text
