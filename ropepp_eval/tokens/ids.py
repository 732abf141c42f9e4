"""The one object that turns text into ids: for planning, both engines, and lm-eval."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from ropepp_eval.errors import UserError
from ropepp_eval.hashing import hash_json
from ropepp_eval.inert import inert
from ropepp_eval.tokens.chat import ChatFormat, chat_format


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What decides ids, stops and texts beside the vocabulary and its pipeline."""

    bos: int | None = None
    eos: int | None = None
    prefix: int | None = None
    """Stands before a text without context; a prompt that begins with its text gets no special tokens."""
    special_tokens: bool = True
    """Whether prompts get the special tokens that the tokenizer's template puts around a text."""
    split_special_tokens: bool = False
    """Whether special tokens inside a text are read as plain text."""
    clean_up_blanks: bool = False
    """Whether decoding closes up blanks before punctuation."""


class Tokenizer:
    """A tokenizer as rows and adapters need it.

    `encode` and `count` are of a text alone, `prompt_ids` and `added_tokens` of a text that enters the model. Truncation, padding and
    BPE dropout that were saved with it are switched off: they belong to training.
    """

    chat: ChatFormat | None = None
    """How prompts are asked in chat; None: as they are."""

    def __init__(
        self,
        fast: Any,
        name: str,
        *,
        add_bos_token: bool | None = None,
        prefix_token_id: int | None = None,
        prompt_format: str = "base",
        system: str | None = None,
        reasoning_budget: int = 0,
    ) -> None:
        """Wrap a tokenizer.

        Args:
            fast: of `transformers`; one without a backend of the `tokenizers` library is asked text by text.
            name: what the user called it: a folder or a hub id.
            add_bos_token: whether prompts get special tokens; None: as the tokenizer's own template says.
            prefix_token_id: what stands before a text without context; None: BOS, or else EOS.
            prompt_format: `base`, or `chat`: rows are asked in the tokenizer's template, which itself says what a text begins with.
            system, reasoning_budget: see `ChatFormat`.

        Raises:
            UserError: the chat template can't be used, it can't encode a plain text, or its template does more than put tokens around one.
        """
        self.fast = fast
        """The `transformers` tokenizer itself; None in a process that only builds rows."""
        bos, eos = getattr(fast, "bos_token_id", None), getattr(fast, "eos_token_id", None)
        usual = eos if bos is None else bos
        rules = Rules(
            bos=bos,
            eos=eos,
            prefix=usual if prefix_token_id is None else prefix_token_id,
            special_tokens=add_bos_token is True if prompt_format == "chat" else add_bos_token is not False,
            split_special_tokens=bool(getattr(fast, "split_special_tokens", False)),
            clean_up_blanks=bool(getattr(fast, "clean_up_tokenization_spaces", False)),
        )
        self._set_up(getattr(fast, "backend_tokenizer", None), name, rules)
        if prompt_format == "chat":
            self.chat = chat_format(self, system, reasoning_budget)

    def _set_up(self, backend: Any, name: str, rules: Rules) -> None:
        self.backend = backend
        """The `tokenizers` object; None where there is none."""
        self.name = name
        self.rules = rules
        with self._errors():
            if backend is not None:
                backend.no_truncation()
                backend.no_padding()
                if getattr(backend.model, "dropout", None) is not None:
                    backend.model.dropout = None
                backend.encode_special_tokens = rules.split_special_tokens
            self._frame = self._special_tokens_around()
            self._prefix_text = "" if rules.prefix is None else self._text_of(rules.prefix)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travels to other processes without `transformers`."""
        return _rebuilt, (self.backend.to_str(), self.name, self.rules, self.chat)

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, nothing added before or after."""
        return self.encode_each([text])[0]

    def encode_each(self, texts: list[str]) -> list[list[int]]:
        """Token ids of each text, nothing added, in one call."""
        if self.backend is None:
            return [list(self.fast.encode(text, add_special_tokens=False)) for text in texts]
        return [entry.ids for entry in self._encoded(texts)]

    def count(self, text: str) -> int:
        """Number of tokens of `text`, nothing added."""
        return self.count_each([text])[0]

    def count_each(self, texts: list[str]) -> list[int]:
        """Number of tokens of each text, counted alone, in one call."""
        if self.backend is None:
            return [len(ids) for ids in self.encode_each(texts)]
        return [len(entry) for entry in self._encoded(texts)]

    def _encoded(self, texts: list[str]) -> list[Any]:
        with self._errors():
            found: list[Any] = self.backend.encode_batch_fast(texts, add_special_tokens=False)
        return found

    def prompt_ids(self, text: str) -> list[int]:
        """Token ids of `text` as it enters the model: with the special tokens of the template where the rules say so."""
        return self.with_special_tokens(text, self.encode(text))

    def with_special_tokens(self, text: str, ids: list[int]) -> list[int]:
        """`ids` of `text`, which were encoded alone, with what enters the model around them."""
        before, after = self._around(text)
        return [*before, *ids, *after]

    def cut_left(self, text: str, ids: list[int], most: int) -> list[int]:
        """The last of `ids`, which are `prompt_ids(text)`, that make `most` with the special tokens in front, which stay."""
        over, kept = len(ids) - most, len(self._around(text)[0])
        return ids if over <= 0 else [*ids[:kept], *ids[kept + over :]]

    def added_tokens(self, text: str) -> int:
        """Special tokens that enter the model with a prompt that begins as `text` does."""
        return sum(map(len, self._around(text)))

    @property
    def most_added_tokens(self) -> int:
        """What a prompt's length must leave room for: special tokens, or all that is around it in chat."""
        return self.added_tokens("") if self.chat is None else self.chat.frame_tokens

    def _around(self, text: str) -> tuple[list[int], list[int]]:
        if not self.rules.special_tokens or (self._prefix_text and text.startswith(self._prefix_text)):
            return [], []
        return self._frame

    def decode(self, ids: list[int]) -> str:
        """Text of `ids`, special tokens left out, no clean-up of blanks."""
        if self.backend is None:
            text: str = self.fast.decode(ids, skip_special_tokens=True)
            return text
        with self._errors():
            text = self.backend.decode(ids, skip_special_tokens=True)
        return text

    @functools.cached_property
    def vocabulary_sha256(self) -> str:
        """Hash of the backend: vocabulary, merges, added tokens, pipeline."""
        return hash_json(self.backend.to_str())

    @functools.cached_property
    def sha256(self) -> str:
        """Hash of all that decides ids, stops and texts, whatever the folder is called."""
        chat = {"chat": [self.chat.template, self.chat.system, self.chat.reasoning_budget]} if self.chat else {}
        return hash_json({"vocabulary": self.vocabulary_sha256, **asdict(self.rules), **chat})

    def _special_tokens_around(self) -> tuple[list[int], list[int]]:
        """(ids before a text, ids after it) of the tokenizer's template."""
        frames = []
        for probe in ("a", "b b"):
            if self.backend is None:
                plain, full = (self.fast.encode(probe, add_special_tokens=special) for special in (False, True))
            else:
                plain, full = (self.backend.encode(probe, add_special_tokens=special).ids for special in (False, True))
            places = [at for at in range(len(full) - len(plain) + 1) if full[at : at + len(plain)] == plain]
            frames += [[(full[:at], full[at + len(plain) :]) for at in places]]
        both = [frame for frame in frames[0] if frame in frames[1]]
        if len(both) != 1:
            raise UserError(
                f"tokenizer {inert(self.name)}: its template (post_processor) does not simply put tokens around a text; "
                "correct tokenizer.json"
            )
        return both[0]

    def _text_of(self, token: int) -> str:
        decode = (
            self.fast.decode if self.backend is None else functools.partial(self.backend.decode, skip_special_tokens=False)
        )
        text: str = decode([token])
        return text

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """What the Rust library raises, a panic among it, as one line."""
        with one_line_errors(f"tokenizer {inert(self.name)} can't encode or decode a text"):
            yield


def _rebuilt(serialized: str, name: str, rules: Rules, chat: ChatFormat | None) -> Tokenizer:
    from tokenizers import Tokenizer as Backend

    tokenizer = object.__new__(Tokenizer)
    tokenizer.fast = None
    tokenizer._set_up(Backend.from_str(serialized), name, rules)
    tokenizer.chat = chat
    return tokenizer


@contextmanager
def one_line_errors(what: str) -> Iterator[None]:
    """Whatever is raised inside, as a UserError of one line. A panic of the Rust library is no `Exception`."""
    try:
        yield
    except (UserError, KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError):
        raise
    except BaseException as error:  # pyo3's PanicException derives from BaseException and can't be imported
        lines = str(error).strip().splitlines()
        reason = inert(lines[0][:300]) if lines else type(error).__name__
        raise UserError(f"{what} ({reason}); correct its files or name another tokenizer with --tokenizer") from error
