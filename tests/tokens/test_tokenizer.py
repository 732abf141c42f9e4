"""Loading a tokenizer: what is refused and how, and that rows need no model library."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ropepp_eval.errors import UserError
from ropepp_eval.tokens.tokenizer import load_tokenizer


@pytest.mark.parametrize("name", ["/nowhere/at/all", "./nowhere", "models/that/never_was"])
def test_a_folder_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(UserError, match=f"there is no folder {name}; name a folder or hub id with --tokenizer"):
        load_tokenizer(name)


def test_a_folder_without_a_tokenizer_is_told_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no tokenizer\.json, vocab\.json or tokenizer\.model"):
        load_tokenizer(str(tmp_path))


def test_a_broken_tokenizer_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"tokenizer\.json is not JSON") as caught:
        load_tokenizer(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_complete_tokenizer_is_loaded_without_torch(tiny_tokenizer_dir: Path) -> None:
    code = (
        "import sys; from ropepp_eval.tokens.tokenizer import load_tokenizer; "
        f"tokens = load_tokenizer({str(tiny_tokenizer_dir)!r}).count('The sky is blue.'); assert tokens > 0; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture(scope="module")
def large_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """So many entries that transformers wonders whether it is one of Mistral's."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.WordLevel({f"w{number}": number for number in range(100_001)}, unk_token="w0"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    folder = tmp_path_factory.mktemp("large")
    PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="w0").save_pretrained(folder)
    return folder


@pytest.mark.parametrize("model_type", ["llama", "mistral"])
def test_only_a_mistrals_pattern_is_called_incorrect(
    model_type: str, large_tokenizer: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The published checkpoints' config.json may have no version of transformers, and their tokenizer is large."""
    (large_tokenizer / "config.json").write_text(json.dumps({"model_type": model_type}), encoding="utf-8")
    load_tokenizer(f"{large_tokenizer}/../{large_tokenizer.name}" + "/." * (model_type == "llama"))  # each name is read anew
    assert ("incorrect regex pattern" in caplog.text) == (model_type == "mistral")
