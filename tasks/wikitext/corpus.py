"""WikiText-2 raw: its lines as the hub has them, and its pages as EleutherAI's document-level version cuts them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ropepp_eval.data import DataFolder
from ropepp_eval.data.text_files import read_text
from ropepp_eval.tasks.wikitext.stand_in import stand_in_text

FILES = {"test": "wiki.test.raw", "validation": "wiki.valid.raw"}


@dataclass(frozen=True)
class Wikitext:
    """One split."""

    text: str
    """The raw file."""
    stand_in: bool

    @property
    def lines(self) -> list[str]:
        """The lines of the file with their newlines. (`splitlines` would also break at other separators inside a line.)"""
        ends = self.text.split("\n")
        return [line + "\n" for line in ends[:-1]] + ([ends[-1]] if ends[-1] else [])

    @property
    def hub_rows(self) -> list[str]:
        """One text a line, as `Salesforce/wikitext` has them: lines keep their newline, blank lines are empty texts."""
        return [line if line.strip() else "" for line in self.lines]

    @property
    def pages(self) -> list[str]:
        """One text an article, see `split_pages`."""
        return split_pages(self.text.split("\n"))


def load_wikitext(data: DataFolder, split: str) -> Wikitext:
    """A split from `wikitext-2-raw/` of the data folder, or a stand-in where there is no folder.

    Raises:
        UserError: the file is missing, empty or no text.
    """
    files = data.files("wikitext-2-raw", FILES[split])
    if not files:
        return Wikitext(stand_in_text(split), stand_in=True)
    return Wikitext(read_text(files[0]), stand_in=False)


def split_pages(lines: Sequence[str]) -> list[str]:
    """Pages of a split: each begins at a first-level heading; lines are joined by newlines again.

    What stands before the first heading is dropped where it is blank (the rule of EleutherAI/wikitext_document_level).
    """
    pages: list[list[str]] = [[]]
    for line in lines:
        if is_page_heading(line):
            pages.append([])
        pages[-1].append(line)
    texts = ["\n".join(page) for page in pages]
    return texts if texts[0].strip() else texts[1:]


def is_page_heading(line: str) -> bool:
    """Is this ` = Title = `, and not ` = = Section = = `? Runs of `= =` are closed up first, as the original does."""
    closed = line.replace("= = =", "===").replace("= =", "==").strip()
    return closed.startswith("= ") and closed.endswith(" =")
