"""What was saved in a tokenizer's files is honoured exactly or switched off: truncation, padding, dropout, templates, flags."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from ropepp_eval.errors import UserError
from ropepp_eval.hashing import hash_json
from ropepp_eval.tokens.tokenizer import Tokenizer, load_tokenizer

TEXT = "The grass is green. <|endoftext|> The sky is blue.  One of the special magic numbers is 3,141.\n" * 5
END = "<|endoftext|>"
BOS_TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": END, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
    "special_tokens": {END: {"id": END, "ids": [0], "tokens": [END]}},
}
Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path, tiny_tokenizer_dir: Path) -> Make:
    """A tokenizer's folder with changes to `tokenizer.json` and `tokenizer_config.json`."""

    def made(name: str = "tokenizer", *, config: dict[str, Any] | None = None, **changes: Any) -> Path:
        folder = tmp_path / name
        shutil.copytree(tiny_tokenizer_dir, folder)
        for file, change in (("tokenizer.json", changes), ("tokenizer_config.json", config or {})):
            content = json.loads((folder / file).read_text(encoding="utf-8"))
            content["model" if "dropout" in change else "version"] = (
                content["model"] | change if "dropout" in change else content.get("version", "1.0")
            )
            content.update({key: value for key, value in change.items() if key != "dropout"})
            (folder / file).write_text(json.dumps(content), encoding="utf-8")
        return folder

    return made


TRUNCATION = {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0}
PADDING = {
    "strategy": {"Fixed": 300},
    "direction": "Right",
    "pad_to_multiple_of": None,
    "pad_id": 0,
    "pad_type_id": 0,
    "pad_token": END,
}


@pytest.mark.parametrize("changes", [{"truncation": TRUNCATION}, {"padding": PADDING}, {"dropout": 0.7}])
def test_what_belongs_to_training_is_switched_off(make: Make, tiny_tokenizer_dir: Path, changes: dict[str, Any]) -> None:
    clean, changed = load_tokenizer(str(tiny_tokenizer_dir)), load_tokenizer(str(make(**changes)))
    assert changed.encode(TEXT) == clean.encode(TEXT)
    assert changed.count(TEXT) == len(clean.encode(TEXT))
    assert changed.sha256 == clean.sha256


@pytest.mark.parametrize(
    ("config", "changes"),
    [
        ({}, {"post_processor": BOS_TEMPLATE}),
        ({"add_bos_token": True}, {}),
        ({"add_eos_token": True}, {}),
        ({"split_special_tokens": True}, {}),
        ({"extra_special_tokens": ["grass", "sky is"]}, {}),
        ({"added_tokens_decoder": {"600": {"content": " is ", "lstrip": True, "rstrip": False, "normalized": True}}}, {}),
    ],
)
def test_a_prompt_gets_the_ids_that_transformers_gives_it(
    make: Make, config: dict[str, Any], changes: dict[str, Any]
) -> None:
    folder = make(config=config, **changes)
    reference, ours = AutoTokenizer.from_pretrained(folder), load_tokenizer(str(folder))
    for text in (TEXT, "", "a"):
        assert ours.prompt_ids(text) == reference.encode(text)
        assert ours.encode(text) == reference.encode(text, add_special_tokens=False)
        assert ours.count(text) + ours.added_tokens(text) == len(reference.encode(text))


def test_a_bos_is_not_doubled_and_can_be_left_out(make: Make) -> None:
    folder = str(make(post_processor=BOS_TEMPLATE))
    tokenizer, without = load_tokenizer(folder), load_tokenizer(folder, add_bos_token=False)
    assert tokenizer.prompt_ids("The sky") == [0, *tokenizer.encode("The sky")]
    assert tokenizer.prompt_ids(f"{END}The sky") == tokenizer.encode(f"{END}The sky")
    assert without.prompt_ids("The sky") == tokenizer.encode("The sky")
    assert (tokenizer.most_added_tokens, without.most_added_tokens) == (1, 0)


def test_a_template_that_does_more_than_frame_a_text_is_refused(make: Make) -> None:
    nothing = BOS_TEMPLATE | {"single": [{"SpecialToken": {"id": END, "type_id": 0}}]}
    with pytest.raises(UserError, match="does not simply put tokens around a text"):
        load_tokenizer(str(make(post_processor=nothing)))


def test_whatever_decides_ids_or_stops_is_in_the_hash(make: Make, tiny_tokenizer_dir: Path) -> None:
    settings: list[dict[str, Any]] = [
        {"config": {"bos_token": "The"}},
        {"config": {"eos_token": "The"}},
        {"config": {"split_special_tokens": True}},
        {"config": {"clean_up_tokenization_spaces": True}},
        {"post_processor": BOS_TEMPLATE},
    ]
    plain = load_tokenizer(str(tiny_tokenizer_dir))
    hashes = [load_tokenizer(str(make(f"folder-{n}", **changes))).sha256 for n, changes in enumerate(settings)]
    hashes += [
        load_tokenizer(str(tiny_tokenizer_dir), **rule).sha256 for rule in ({"add_bos_token": False}, {"prefix_token_id": 7})
    ]

    assert len({*hashes, plain.sha256}) == len(hashes) + 1
    assert load_tokenizer(str(make("the same"))).sha256 == plain.sha256


def test_it_travels_to_other_processes_with_its_rules(make: Make) -> None:
    here = load_tokenizer(str(make(post_processor=BOS_TEMPLATE, config={"split_special_tokens": True})))
    there: Tokenizer = copy.copy(here)  # by the same road as pickle
    assert there.prompt_ids(TEXT) == here.prompt_ids(TEXT)
    assert (there.sha256, there.name) == (here.sha256, here.name)
    assert there.vocabulary_sha256 == hash_json(here.fast.backend_tokenizer.to_str())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pre_tokenizer": {"type": "FixedLength", "length": 0}}, "chunk size must be non-zero"),
        ({"post_processor": BOS_TEMPLATE | {"special_tokens": {}}}, "no entry found for key"),
        ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}}, "Cannot parse precompiled_charsmap"),
        (
            {"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": False}},
            "unmatched",
        ),
        ({"added_tokens": [{"id": "0", "content": END}]}, r"added_tokens\[0\]\.id is \"0\"; it must be a whole number"),
        ({"added_tokens": {}}, "added_tokens is {}; it must be a list"),
        ({"truncation": 3}, "truncation is 3; it must be a mapping of fields"),
        ({"model": None}, "model is null; it must be a mapping of fields|can't be loaded"),
        ({"config": {"bos_token": 3}}, r"tokenizer_config\.json: bos_token is 3"),
        ({"config": {"added_tokens_decoder": {"x": {"content": "y"}}}}, r"tokenizer_config\.json: added_tokens_decoder"),
    ],
)
def test_a_wrong_file_is_one_line_also_where_the_library_panics(
    make: Make, changes: dict[str, Any], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load_tokenizer(str(make(**changes)))
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""
