"""The way out for text. Names, answers and messages come from outside; nothing of them that is shown acts on a terminal.

The command line puts an `InertStream` over standard output and standard error, so whatever is printed anywhere goes through it.
"""

from __future__ import annotations

import contextlib
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def inert(text: object, keep: str = "") -> str:
    r"""`text` with every character that a terminal obeys or hides written as JSON writes it, so that JSON stays JSON.

    These are Unicode's control, format (bidirectional marks, zero widths), surrogate, private and unassigned characters and its
    separators of lines and paragraphs. Without `keep` the result is one line.

    Args:
        keep: characters left as they are, such as "\n".

    >>> inert("red\x1b[31m\nrope")
    'red\\u001b[31m\\nrope'
    """
    written = str(text)
    if written.isprintable():
        return written
    return "".join(c if c.isprintable() or c in keep or unicodedata.category(c) == "Zs" else _escaped(c) for c in written)


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return _SHORT.get(character) or "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))


class InertStream:
    r"""Text for people on its way to `raw`: `inert` but for what `keep` names, escaped where the encoding lacks a character.

    It says that it is no terminal, so that no library sends colours. What we style ourselves goes to `raw_stream`, its texts inert.
    """

    def __init__(self, raw: TextIO, keep: str = "\n\t") -> None:
        self.raw = raw
        self._keep = keep

    def write(self, text: str) -> int:
        self.raw.write(_encodable(inert(text, self._keep), getattr(self.raw, "encoding", None) or "utf-8"))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def isatty(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)


def _encodable(text: str, encoding: str) -> str:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return "".join(c if c.encode(encoding, "ignore") else _escaped(c) for c in text)
    return text


def raw_stream(stream: Any) -> Any:
    """What a stream writes to at last: the terminal, file or pipe itself."""
    return stream.raw if isinstance(stream, InertStream) else stream


def is_terminal(stream: Any) -> bool:
    """Whether a person's terminal is what a stream writes to at last."""
    return bool(raw_stream(stream).isatty())


def write_bytes(stream: Any, content: bytes) -> None:
    """A file's bytes to where a stream writes at last. They are no text for people: a terminal never gets them.

    Raises:
        ValueError: the stream is a terminal's.
    """
    if is_terminal(stream):
        raise ValueError("bytes of a file are not written to a terminal")
    raw_stream(stream).buffer.write(content)


@contextlib.contextmanager
def inert_output() -> Iterator[None]:
    """Standard output and standard error are inert meanwhile. Foreign progress bars on standard error keep their carriage returns."""
    out, errors = InertStream(raw_stream(sys.stdout)), InertStream(raw_stream(sys.stderr), keep="\n\t\r")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):  # type: ignore[type-var]
        yield
