"""English sentence splitting with NLTK's Punkt model, read from the data folder: nothing is downloaded or unpickled."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from ropepp_eval.data import DataFolder
from ropepp_eval.data.text_files import read_text
from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert
from ropepp_eval.outside import shown

_MODEL = "tokenizers/punkt_tab/english"
_FILES = ("abbrev_types.txt", "collocations.tab", "sent_starters.txt", "ortho_context.tab")


def punkt_folder(data: DataFolder) -> Path:
    """The English Punkt model: of the data folder, else of NLTK's own search path.

    Raises:
        UserError: it is in neither place.
    """
    if data.root is not None and (data.root / "nltk_data" / _MODEL).is_dir():
        return data.root / "nltk_data" / _MODEL
    from nltk.data import path as search_path

    for folder in search_path:
        if (Path(folder) / _MODEL).is_dir():
            return Path(folder) / _MODEL
    raise UserError(
        f"no sentence model: nltk_data/{_MODEL} is neither in the data folder {data.root} nor on NLTK's path; "
        "copy it there, or run `python -m nltk.downloader punkt_tab`"
    )


def punkt_files(data: DataFolder) -> list[Path]:
    """The files of the model, in name order (rows depend on them, so their hash belongs to a row's key)."""
    return [punkt_folder(data) / name for name in sorted(_FILES)]


def sentence_spans(text: str, data: DataFolder) -> list[tuple[int, int]]:
    """Begin and end (characters of `text`) of each sentence, as `nltk.sent_tokenize` gives them."""
    return list(_splitter(punkt_folder(data)).span_tokenize(text))


@functools.lru_cache(maxsize=2)
def _splitter(folder: Path) -> Any:
    from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer

    def lines(name: str, fields: int) -> list[list[str]]:
        found = [line.split("\t") for line in read_text(folder / name, may_be_empty=True).split("\n") if line]
        for number, line in enumerate(found, start=1):
            if len(line) != fields:
                raise UserError(f"{inert(folder / name)}:{number} has {len(line)} fields, not {fields}; get the model anew")
        return found

    parameters = PunktParameters()
    parameters.abbrev_types = {word for (word,) in lines("abbrev_types.txt", 1)}
    parameters.sent_starters = {word for (word,) in lines("sent_starters.txt", 1)}
    parameters.collocations = {(first, second) for first, second in lines("collocations.tab", 2)}
    for word, flags in lines("ortho_context.tab", 2):
        if not (flags.isascii() and flags.isdigit() and len(flags) < 10):
            raise UserError(f"{inert(folder)}/ortho_context.tab: {shown(word)} has flags {shown(flags)}; get the model anew")
        parameters.ortho_context[word] = int(flags)
    splitter = PunktSentenceTokenizer()
    splitter._params = parameters
    return splitter
