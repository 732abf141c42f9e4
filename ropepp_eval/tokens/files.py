"""The files of a tokenizer: which folder they are in, and what they must be before any library reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from ropepp_eval.errors import UserError
from ropepp_eval.hub import fetch, split_revision
from ropepp_eval.inert import inert
from ropepp_eval.outside import Items, Limits, Outside, read_bytes, read_json

NAMES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)
MODEL_NAME = "tokenizer.model"
_LIMITS = Limits(size_bytes=256 * 2**20, digits=40)  # "no limit" is written as 10^30
_ADVICE = "put the model's own tokenizer files there"
_Text = Annotated[str, Field(max_length=4096)]
_Id = Annotated[int, Field(ge=0, lt=2**31)]


class AddedToken(Outside):
    """A token that is found in a text before anything else."""

    content: _Text
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = True
    special: bool = False


class _NumberedToken(AddedToken):
    id: _Id


class _Component(Outside):
    type: str


class _Pipeline(Outside):
    """`tokenizer.json`, as far as it is ours to judge: the `tokenizers` library reads the rest, and the model's entries one by one."""

    added_tokens: Items[_NumberedToken] = ()
    normalizer: _Component | None = None
    pre_tokenizer: _Component | None = None
    post_processor: _Component | None = None
    decoder: _Component | None = None
    truncation: dict[str, Any] | None = None
    padding: dict[str, Any] | None = None


class _TokenizerFile(_Pipeline):
    model: dict[str, Any]


_Token = _Text | AddedToken | None


class _SpecialTokens(Outside):
    """`special_tokens_map.json`."""

    bos_token: _Token = None
    eos_token: _Token = None
    unk_token: _Token = None
    pad_token: _Token = None
    additional_special_tokens: Items[_Text | AddedToken] | None = None


class _TokenizerConfig(_SpecialTokens):
    """`tokenizer_config.json`, the fields that decide ids, stops and texts."""

    add_bos_token: bool | None = None
    add_eos_token: bool | None = None
    add_prefix_space: bool | None = None
    split_special_tokens: bool | None = None
    clean_up_tokenization_spaces: bool | None = None
    tokenizer_class: str | None = None
    added_tokens_decoder: dict[Annotated[str, Field(pattern=r"^\d{1,9}$")], AddedToken] | None = None
    extra_special_tokens: Items[_Text | AddedToken] | dict[str, _Text | AddedToken] | None = None


class _Model(Outside):
    """`config.json`."""

    model_type: str | None = None


_QUICK: TypeAdapter[_Pipeline] = TypeAdapter(_Pipeline)


def check_files(folder: Path) -> None:
    """Raise UserError, with file and field, where a file of a tokenizer is not what it must be."""
    for name, model in (("tokenizer_config.json", _TokenizerConfig), ("special_tokens_map.json", _SpecialTokens)):
        if (folder / name).exists():
            read_json(folder / name, model, limits=_LIMITS, advice=_ADVICE)
    if (folder / "tokenizer.json").exists():
        _check_tokenizer_file(folder / "tokenizer.json")


def model_type_beside(folder: Path) -> str | None:
    """`model_type` of the checkpoint whose folder it is; None where there is no config.json, or it does not say."""
    file = folder / "config.json"
    return read_json(file, _Model, limits=_LIMITS).model_type if file.exists() else None


def files_state(folder: Path) -> tuple[Any, ...]:
    """Changes when a file of a tokenizer does."""
    stats = [(name, file.stat()) for name in (*NAMES, MODEL_NAME) if (file := folder / name).is_file()]
    return tuple((name, stat.st_size, stat.st_mtime_ns, stat.st_ino) for name, stat in stats)


def _check_tokenizer_file(file: Path) -> None:
    """The quick way makes no Python object of the vocabulary, which takes seconds; what it refuses is read again for a message."""
    content = read_bytes(file, _LIMITS, _ADVICE)
    try:
        _QUICK.validate_json(content)
    except ValidationError:
        read_json(file, _TokenizerFile, limits=_LIMITS, advice=_ADVICE)


def folder_of(name: str) -> Path:
    """The folder of a tokenizer: the one named, or the hub's snapshot of its tokenizer files.

    Raises:
        UserError: there is none, or it holds no tokenizer.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        if folder.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:  # no hub id
            raise UserError(f"tokenizer: there is no folder {inert(name)}; name a folder or hub id with --tokenizer")
        folder = _snapshot(name)
    if not any((folder / f).is_file() for f in ("tokenizer.json", "vocab.json", "tokenizer.model")):
        raise UserError(
            f"tokenizer: {inert(name)} holds no tokenizer.json, vocab.json or tokenizer.model; "
            "put the model's tokenizer there or name another folder with --tokenizer"
        )
    return folder


def _snapshot(name: str) -> Path:
    repository, revision = split_revision(name)
    try:
        return fetch(repository, [*NAMES, MODEL_NAME, "config.json"], revision=revision)
    except UserError as error:
        raise UserError(f"tokenizer: {error}; a folder or another hub id is named with --tokenizer") from error
