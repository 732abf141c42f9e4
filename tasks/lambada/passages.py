"""The passages of LAMBADA's test split (OpenAI's version): from the data folder, or generated stand-ins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator

from ropepp_eval.data import DataFolder
from ropepp_eval.data.text_files import read_json_lines
from ropepp_eval.outside import Outside
from ropepp_eval.tasks.lambada.stand_in import stand_in_passages


@dataclass(frozen=True)
class Passage:
    """A passage, split as lm-eval's `lambada_openai` splits it: at its last blank."""

    text: str

    @property
    def context(self) -> str:
        """Everything before the last blank."""
        return self.text.rpartition(" ")[0]

    @property
    def last_word(self) -> str:
        """The word to predict, with the blank before it. In 41 of the 5,153 real passages it holds more than letters."""
        return " " + self.text.rpartition(" ")[2]


@dataclass(frozen=True)
class Passages:
    """All passages in file order."""

    passages: tuple[Passage, ...]
    stand_in: bool

    @property
    def texts(self) -> list[str]:
        return [passage.text for passage in self.passages]


def load_passages(data: DataFolder) -> Passages:
    """`lambada/lambada_test.jsonl` of the data folder ({"text": ...} a line), or stand-ins where there is no folder.

    Raises:
        UserError: the file is missing, or a line is no passage.
    """
    files = data.files("lambada", "lambada_test.jsonl")
    if not files:
        return Passages(tuple(Passage(text) for text in stand_in_passages()), stand_in=True)
    return Passages(tuple(Passage(record.text) for record in read_json_lines(files[0], _Record)), stand_in=False)


def _with_last_word(text: str) -> str:
    context, _, last_word = text.rpartition(" ")
    if not context.strip() or not last_word.strip():
        raise ValueError("it must end in a blank and a last word, which is what is asked for")
    return text


class _Record(Outside):
    text: Annotated[str, AfterValidator(_with_last_word)]
