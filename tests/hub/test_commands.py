"""Cards, checkpoints, tokenizers and data sets through the command line and the client, from the hub on loopback."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from ropepp_eval.checkpoints import cards
from ropepp_eval.checkpoints.folder import TOKENIZER_FILES
from ropepp_eval.cli import main
from ropepp_eval.data import prepare
from ropepp_eval.data.hub_sources import HUB_SOURCES
from tests.hub.loopback import TOKEN, Hub, Repository

RUN = ("--tasks", "niah_single_1", "--lengths", "512", "--samples", "1", "--dtype", "float32", "--format", "none", "--quiet")


@pytest.fixture
def card(hub: Hub, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A card whose checkpoint has no tokenizer; that of the card is gated."""
    files = {path.name: path.read_bytes() for path in tiny_checkpoint.iterdir() if path.is_file()}
    tokenizer = {name: content for name, content in files.items() if name in TOKENIZER_FILES}
    hub.repositories["authors/Tiny-RoPE"] = Repository({name: files[name] for name in files.keys() - tokenizer.keys()})
    hub.repositories["owner/words"] = Repository(tokenizer, gated=True, sha="c3" * 20)
    config = json.loads(files["config.json"])
    shape = (
        "vocab_size",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "intermediate_size",
    )
    parameters = sum(
        pyarrow.compute.product(pyarrow.array([1, *tensor["shape"]])).as_py()
        for name, tensor in json.loads(
            files["model.safetensors"][8 : 8 + int.from_bytes(files["model.safetensors"][:8], "little")]
        ).items()
        if name != "__metadata__"
    )
    known = cards.Card(
        name="Tiny-RoPE", hub_id="authors/Tiny-RoPE", position="rope", base=10000.0, trained_length_tokens=8192,
        tokenizer="owner/words", tokenizer_note="", published=(), shape={name: config[name] for name in shape},
        parameters=parameters, kv_bytes_per_token=0,
    )  # fmt: skip
    monkeypatch.setattr(cards, "_cards", lambda folder: {"Tiny-RoPE": known})
    return "Tiny-RoPE"


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(said) == 1
    return said[0]


def test_a_card_is_fetched_inspected_and_run(
    hub: Hub, card: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["inspect", card]) == 0
    shown = capsys.readouterr().out
    assert f"revision        {'a1' * 20}" in shown
    assert "card Tiny-RoPE says rope" in shown

    out = tmp_path / "run"
    assert main(["run", card, *RUN, "--out", str(out)]) == 2
    said = one_line(capsys)
    assert "tokenizer: hub repository owner/words is gated; accept its terms at" in said
    assert "--tokenizer" in said
    assert not out.exists()

    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert main(["run", f"{card}@{'a1' * 20}", *RUN, "--out", str(out)]) == 0
    manifest = json.loads((out / "run.json").read_text("utf-8"))
    (checkpoint,) = manifest["checkpoints"].values()
    assert checkpoint["revision"] == "a1" * 20
    assert list(manifest["sources"]) == ["Tiny-RoPE"]

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hub.asked.clear()
    assert main(["run", card, *RUN, "--out", str(tmp_path / "offline")]) == 0
    assert not hub.asked


def test_a_revision_that_is_gone_or_a_card_whose_files_changed(
    hub: Hub, card: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", f"{card}@v9"]) == 2
    assert "authors/Tiny-RoPE@v9 has no such revision" in one_line(capsys)
    files = hub.repositories["authors/Tiny-RoPE"].files
    files["config.json"] = files["config.json"].replace(b'"hidden_size": 32', b'"hidden_size": 64')
    assert main(["inspect", card]) == 2
    assert "Tiny-RoPE" in one_line(capsys)


TABLES: dict[str, list[dict[str, Any]]] = {
    "wikitext": [{"text": " = A title = \n"}, {"text": ""}],
    "openbookqa": [
        {"id": "7-1", "question_stem": "What is wet?", "choices": {"text": ["fire", "water", "sand", "air"], "label": list("ABCD")},
         "answerKey": "B", "fact1": "water is wet", "humanScore": 1.0, "clarity": 2.0, "turkIdAnonymized": "x"}
    ],
    "squad": [{"id": "q1", "title": "T", "context": "A b.", "question": "A?", "answers": {"text": ["b"], "answer_start": [2]}}],
    "hotpotqa": [
        {"id": "h1", "question": "Q?", "answer": "yes", "type": "comparison", "level": "hard",
         "context": {"title": ["T"], "sentences": [["A.", "B."]]}, "supporting_facts": {"title": ["T"], "sent_id": [0]}}
    ],
}  # fmt: skip


def table(records: list[dict[str, Any]]) -> bytes:
    written = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records), written)
    return written.getvalue()


@pytest.fixture
def data_sets(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> dict[str, Repository]:
    """The six pinned data sets under their names and revisions, with one made record or two a file."""
    repositories = {}
    sources = []
    for source in HUB_SOURCES:
        lines = b'{"text": "a b"}\n' if source.name == "lambada" else b'[{"input": "a", "question": "b", "target": "c"}]'
        content = table(TABLES[source.name]) if source.name in TABLES else lines
        repositories[source.name] = Repository(
            {file.path: content for file in source.files}, dataset=True, sha=source.revision
        )
        hub.repositories[source.repository] = repositories[source.name]
        files = tuple(replace(file, sha256=None, records=len(TABLES.get(source.name, "1"))) for file in source.files)
        sources.append(replace(source, files=files))
    monkeypatch.setattr(prepare, "HUB_SOURCES", tuple(sources))
    return repositories


def test_the_six_data_sets_are_fetched_at_their_revisions(
    hub: Hub,
    data_sets: dict[str, Repository],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    into = tmp_path / "data"
    command = ["data", "prepare", "--from", "hub", "--into", str(into), "--lengths", "4k"]
    assert main(command) == 0
    assert f"{into}: 21 files with checksums" in capsys.readouterr().out
    assert (into / "wikitext-2-raw/wiki.test.raw").read_text("utf-8") == " = A title = \n \n"
    assert json.loads((into / "openbookqa/Main/test.jsonl").read_text("utf-8"))["question"]["stem"] == "What is wet?"
    assert main(["data", "check", str(into)]) == 0
    origins = {file["origin"] for file in json.loads((into / "data.json").read_text("utf-8"))["files"].values()}
    assert {origin.partition("@")[2].partition("/")[0] for origin in origins} == {source.revision for source in HUB_SOURCES}

    hub.asked.clear()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert main([*command[:-4], "--into", str(tmp_path / "again"), "--lengths", "4k"]) == 0
    assert not hub.asked


def test_what_is_wrong_with_a_data_set_is_one_line_and_nothing_is_written(
    hub: Hub, data_sets: dict[str, Repository], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["data", "prepare", "--from", "hub", "--into", str(tmp_path / "data"), "--only"]
    for path in data_sets["squad"].files:
        moved = [{**record, "answers": {"text": ["b"]}} for record in TABLES["squad"]]
        data_sets["squad"].files[path] = table(moved)
    assert main([*command, "squad"]) == 2
    assert "has no column answers.answer_start; its schema moved" in one_line(capsys)
    data_sets["lambada"].files.clear()
    data_sets["lambada"].files["elsewhere.jsonl"] = b"{}"
    assert main([*command, "lambada"]) == 2
    assert "has no file data/lambada_test.jsonl; its files moved" in one_line(capsys)
    hub.repositories["hotpotqa/hotpot_qa"].sha = "d4" * 20
    assert main([*command, "hotpotqa"]) == 2
    assert "has no such revision" in one_line(capsys)
    assert not (tmp_path / "data").exists()
