"""Preparing and checking a data folder, from a folder, from the hub's tables (made here) and as stand-ins."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from ropepp_eval.data import open_data, prepare
from ropepp_eval.data.check import check_folder
from ropepp_eval.data.hub_sources import HUB_SOURCES
from ropepp_eval.data.known_files import KNOWN_FILES
from ropepp_eval.errors import UserError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    for name, text in {
        "gutenberg/a.txt": "A book.",
        "lambada/lambada_test.jsonl": '{"text": "a b"}\n',
        "other/x": "x",
    }.items():
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(text)
    return folder


def states(root: Path) -> dict[str, str]:
    return {file.path: file.state for file in check_folder(root).files}


def test_a_folder_is_copied_with_its_checksums(source: Path, tmp_path: Path) -> None:
    into = tmp_path / "data"
    manifest = prepare.prepare_from_folder(source, into)
    assert sorted(manifest.files) == ["gutenberg/a.txt", "lambada/lambada_test.jsonl"]
    assert manifest.files["gutenberg/a.txt"].sha256 == hashlib.sha256(b"A book.").hexdigest()
    assert (into / "gutenberg/a.txt").read_text() == "A book."
    assert not (into / "other").exists()
    assert states(into) == {"gutenberg/a.txt": "prepared", "lambada/lambada_test.jsonl": "prepared"}


def test_preparing_twice_changes_nothing(source: Path, tmp_path: Path) -> None:
    into = tmp_path / "data"
    first = prepare.prepare_from_folder(source, into)
    before = (into / "gutenberg/a.txt").stat().st_mtime_ns
    assert prepare.prepare_from_folder(source, into) == first
    assert (into / "gutenberg/a.txt").stat().st_mtime_ns == before


def test_what_changed_or_went_away_since_is_found(source: Path, tmp_path: Path) -> None:
    into = tmp_path / "data"
    prepare.prepare_from_folder(source, into)
    (into / "gutenberg/a.txt").write_text("Another book.")
    (into / "lambada/lambada_test.jsonl").unlink()
    (into / "gutenberg/b.txt").write_text("A new book.")
    assert states(into) == {
        "gutenberg/a.txt": "changed",
        "gutenberg/b.txt": "other",
        "lambada/lambada_test.jsonl": "missing",
    }
    assert not check_folder(into).sound


def test_a_folder_without_anything_known_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds none of ARC, SuperGLUE, babi, babilong, essays"):
        prepare.prepare_from_folder(tmp_path / "empty", tmp_path / "data")
    with pytest.raises(UserError, match="is not a folder"):
        prepare.prepare_from_folder(tmp_path / "nowhere", tmp_path / "data")


def test_the_corpora_of_the_tests_are_the_known_ones(data_dir: Path) -> None:
    found = check_folder(data_dir)
    official = {file.path for file in found.files if file.state == "official"}
    assert official == set(KNOWN_FILES)
    assert set(found.lacking) == {"short_tasks", "super_glue"}
    assert found.sound


def test_a_generated_folder_means_stand_ins(tmp_path: Path) -> None:
    prepare.prepare_generated(tmp_path / "data")
    assert open_data(tmp_path / "data").root is None
    assert check_folder(tmp_path / "data").lacking == {}


def test_generated_data_does_not_go_beside_real_data(source: Path) -> None:
    with pytest.raises(UserError, match="holds gutenberg, lambada; prepare generated data into an empty folder"):
        prepare.prepare_generated(source)


def test_a_broken_manifest_is_named(tmp_path: Path) -> None:
    (tmp_path / "data.json").write_text("{")
    with pytest.raises(UserError, match=r"data\.json is not JSON \(line 1"):
        open_data(tmp_path)
    (tmp_path / "data.json").write_text('{"format": 99}')
    with pytest.raises(UserError, match=r"data\.json: format is 99; it must be 1; run `ropepp-eval data prepare` again"):
        check_folder(tmp_path)


def test_the_hub_is_never_asked_offline(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="needs the network; leave --offline out"):
        prepare.prepare_from_hub(tmp_path, offline=True, fetch_files=lambda *_: pytest.fail("fetched"))


def test_an_unknown_source_is_refused_with_its_near_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean wikitext"):
        prepare.prepare_from_hub(tmp_path, only=["wikitxt"])


def test_revisions_are_full_commits_and_checksums_are_sha256() -> None:
    for source in HUB_SOURCES:
        assert len(source.revision) == 40
        assert int(source.revision, 16)
        for file in source.files:
            assert file.sha256 is None or len(bytes.fromhex(file.sha256)) == 32
            assert file.sha256 is not None or file.records is not None


def parquet(folder: Path, records: list[dict[str, Any]]) -> Path:
    path = folder / "table.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records), path)
    return path


def without_checksums(monkeypatch: pytest.MonkeyPatch, records: int | None = None) -> None:
    """The table as it is, but for checksums (the tests' Parquet files are written here) and, if asked, record counts."""
    sources = tuple(
        replace(source, files=tuple(replace(f, sha256=None, records=records or f.records) for f in source.files))
        for source in HUB_SOURCES
    )
    monkeypatch.setattr(prepare, "HUB_SOURCES", sources)


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]


def test_wikitext_from_the_hub_is_the_official_file(data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_checksums(monkeypatch)

    def fetch(repository: str, revision: str, path: str) -> Path:
        name = "wiki.valid.raw" if "validation" in path else "wiki.test.raw"
        lines = (data_dir / "wikitext-2-raw" / name).read_text("utf-8").splitlines(keepends=True)
        return parquet(tmp_path, [{"text": "" if line == " \n" else line} for line in lines])

    prepare.prepare_from_hub(tmp_path / "data", only=["wikitext"], fetch_files=folder_with(tmp_path, fetch))
    assert set(states(tmp_path / "data").values()) == {"official"}


def test_openbookqa_from_the_hub_is_the_official_file(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_checksums(monkeypatch)

    def fetch(repository: str, revision: str, path: str) -> Path:
        config, split = path.split("/")[0], path.split("/")[1].split("-")[0].replace("validation", "dev")
        name = f"Main/{split}.jsonl" if config == "main" else f"Additional/{split}_complete.jsonl"
        return parquet(tmp_path, [flat(row) for row in read_lines(data_dir / "openbookqa" / name)])

    def flat(row: dict[str, Any]) -> dict[str, Any]:
        choices = row["question"]["choices"]
        record = {name: value for name, value in row.items() if name != "question"}
        record |= {name: float(row[name]) for name in ("humanScore", "clarity") if name in row}
        lists = {name: [choice[name] for choice in choices] for name in ("text", "label")}
        return record | {"question_stem": row["question"]["stem"], "choices": lists}

    prepare.prepare_from_hub(tmp_path / "data", only=["openbookqa"], fetch_files=folder_with(tmp_path, fetch))
    found = check_folder(tmp_path / "data")
    assert {file.state for file in found.files} == {"official"}
    assert found.lacking["openbookqa"] == ["openbookqa/Main/openbook.txt", "openbookqa/Additional/crowdsourced-facts.txt"]


def test_hotpotqa_from_the_hub_has_the_original_layout(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_checksums(monkeypatch, records=100)
    original = data_dir / "hotpotqa/hotpot_dev_distractor_v1-first100.json"

    def fetch(repository: str, revision: str, path: str) -> Path:
        records = []
        for row in json.loads(original.read_text("utf-8")):
            titles, sentences = zip(*row["context"], strict=True)
            facts, numbers = zip(*row["supporting_facts"], strict=True)
            records.append(
                {name: row[name] for name in ("answer", "question", "type", "level")}
                | {"id": row["_id"], "context": {"title": list(titles), "sentences": [list(s) for s in sentences]}}
                | {"supporting_facts": {"title": list(facts), "sent_id": list(numbers)}}
            )
        return parquet(tmp_path, records)

    prepare.prepare_from_hub(tmp_path / "data", only=["hotpotqa"], fetch_files=folder_with(tmp_path, fetch))
    assert (tmp_path / "data/hotpotqa/hotpot_dev_distractor_v1.json").read_bytes() == original.read_bytes()


def test_squad_from_the_hub_has_the_same_paragraphs_and_questions(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_checksums(monkeypatch, records=6078)
    original = json.loads((data_dir / "squad/dev-v2.0-half.json").read_text("utf-8"))

    def fetch(repository: str, revision: str, path: str) -> Path:
        records = []
        for article in original["data"]:
            for paragraph in article["paragraphs"]:
                for qa in paragraph["qas"]:
                    lists = {name: [answer[name] for answer in qa["answers"]] for name in ("text", "answer_start")}
                    record = {"title": article["title"], "context": paragraph["context"], "answers": lists}
                    records.append(record | {"question": qa["question"], "id": qa["id"]})
        return parquet(tmp_path, records)

    prepare.prepare_from_hub(tmp_path / "data", only=["squad"], fetch_files=folder_with(tmp_path, fetch))
    made = json.loads((tmp_path / "data/squad/dev-v2.0.json").read_text("utf-8"))

    def questions(content: dict[str, Any]) -> list[tuple[Any, ...]]:
        return [
            (article["title"], paragraph["context"], qa["question"], qa["id"], qa["answers"], qa["is_impossible"])
            for article in content["data"]
            for paragraph in article["paragraphs"]
            for qa in paragraph["qas"]
        ]

    assert questions(made) == questions(original)


def test_a_fetched_file_with_another_checksum_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"EleutherAI/lambada_openai@900124bf.* has sha256 .*, 4aa8d02c.* was expected"):
        prepare.prepare_from_hub(
            tmp_path / "data", only=["lambada"], fetch_files=folder_with(tmp_path, file_with(tmp_path, '{"text": "a b"}\n'))
        )
    assert not (tmp_path / "data").exists()


def test_a_fetched_file_with_too_few_records_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_checksums(monkeypatch)
    with pytest.raises(UserError, match="holds 1 records, 5153 were expected"):
        prepare.prepare_from_hub(
            tmp_path / "data", only=["lambada"], fetch_files=folder_with(tmp_path, file_with(tmp_path, '{"text": "a b"}\n'))
        )


def test_lambada_from_the_hub_is_the_file_itself(data_dir: Path, tmp_path: Path) -> None:
    prepare.prepare_from_hub(
        tmp_path / "data",
        only=["lambada"],
        fetch_files=folder_with(tmp_path, lambda *_: data_dir / "lambada/lambada_test.jsonl"),
    )
    assert states(tmp_path / "data") == {"lambada/lambada_test.jsonl": "official"}


def test_published_babilong_rows_are_fetched_for_the_lengths_asked(tmp_path: Path) -> None:
    asked: list[tuple[str, str, str]] = []
    rows = json.dumps([{"input": "a", "question": "b", "target": "c"}] * 100)
    local = file_with(tmp_path, rows)

    def fetch(repository: str, revision: str, path: str) -> Path:
        asked.append((repository, revision, path))
        return local(repository, revision, path)

    prepare.prepare_from_hub(
        tmp_path / "data", only=["babilong"], lengths=[0, 4096], fetch_files=folder_with(tmp_path, fetch)
    )
    assert len(asked) == 20
    assert asked[0] == ("RMT-team/babilong", "ee0d588794c7ac098062ee0d247c733d62e94fe2", "data/qa1/0k.json")
    assert {path.split("/")[-1] for _, _, path in asked} == {"0k.json", "4k.json"}
    assert open_data(tmp_path / "data").find("babilong", "data/qa7/4k.json")


def folder_with(folder: Path, fetch: Callable[[str, str, str], Path]) -> prepare.Fetch:
    """A repository's files as `fetch` gives them one by one, together in a folder."""

    def fetch_all(repository: str, revision: str, paths: Sequence[str]) -> Path:
        for path in paths:
            target = folder / "fetched" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(fetch(repository, revision, path).read_bytes())
        return folder / "fetched"

    return fetch_all


def file_with(folder: Path, text: str) -> Callable[[str, str, str], Path]:
    def fetch(repository: str, revision: str, path: str) -> Path:
        local = folder / path.split("/")[-1]
        local.write_text(text)
        return local

    return fetch
