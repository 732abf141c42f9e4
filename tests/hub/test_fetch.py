"""Files of the hub through its real client: whole, at their revision, with their checksums, or one sentence on what to do."""

from __future__ import annotations

import errno
import multiprocessing
import os
from pathlib import Path

import pytest

from ropepp_eval.errors import UserError
from ropepp_eval.hub import fetch, split_revision
from tests.hub.loopback import TOKEN, Hub, Repository

FILES = {
    "config.json": b'{"a": 1}',
    "model.safetensors": bytes(range(256)) * (12 << 12),
    "pytorch_model.bin": b"never wanted",
}
WANTED = ("*.json", "*.safetensors")


@pytest.fixture
def repository(hub: Hub) -> Repository:
    hub.repositories["owner/tiny"] = Repository(dict(FILES))
    return hub.repositories["owner/tiny"]


def refused(*arguments: object, **options: object) -> str:
    with pytest.raises(UserError) as caught:
        fetch(*arguments, **options)  # type: ignore[arg-type]
    said = str(caught.value)
    assert "\n" not in said
    assert len(said) < 500
    return said


def held(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_wanted_comes_whole_and_once(hub: Hub, repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fetch("owner/tiny", WANTED)
    assert held(folder) == {name: FILES[name] for name in ("config.json", "model.safetensors")}
    assert folder.name == repository.sha
    sent = dict(hub.sent)
    assert fetch("owner/tiny", WANTED) == folder
    assert hub.sent == sent
    hub.status = [500]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hub.asked.clear()
    assert held(fetch("owner/tiny", WANTED)) == held(folder)
    assert not hub.asked


@pytest.mark.parametrize("revision", ["main", "a1" * 20])
def test_a_revision_is_fetched_as_it_is_named(hub: Hub, repository: Repository, revision: str) -> None:
    assert fetch("owner/tiny", WANTED, revision=revision).name == repository.sha
    assert split_revision(f"owner/tiny@{revision}") == ("owner/tiny", revision)
    assert split_revision("owner/tiny") == ("owner/tiny", None)
    assert split_revision("owner/tiny@") == ("owner/tiny@", None)


def test_a_revision_that_is_gone_names_the_list_of_those_there(hub: Hub, repository: Repository) -> None:
    said = refused("owner/tiny", WANTED, revision="b2" * 20)
    assert f"owner/tiny@{'b2' * 20} has no such revision" in said
    assert f"{hub.endpoint}/owner/tiny/commits/main" in said


def test_a_repository_that_is_not_there(hub: Hub) -> None:
    assert "hub repository owner/nothing is not at http://127.0.0.1" in refused("owner/nothing", WANTED)
    assert "data set owner/nothing" in refused("owner/nothing", WANTED, dataset=True)
    assert "write owner/name" in refused("a/b/c", WANTED)


def test_a_gated_repository_needs_a_token(hub: Hub, repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    repository.gated = True
    said = refused("owner/tiny", WANTED)
    assert f"is gated; accept its terms at {hub.endpoint}/owner/tiny, then `hf auth login`, or set HF_TOKEN" in said
    monkeypatch.setenv("HF_TOKEN", "hf_of_somebody")
    assert "the account of the token here has no access yet" in refused("owner/tiny", WANTED)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert held(fetch("owner/tiny", WANTED))["config.json"] == FILES["config.json"]


def test_a_download_that_was_cut_goes_on_where_it_was(
    hub: Hub, repository: Repository, monkeypatch: pytest.MonkeyPatch, quick_retries: None
) -> None:
    whole = len(FILES["model.safetensors"])
    hub.cut_after = [whole - 1000]  # the client writes by 10 MiB
    assert held(fetch("owner/tiny", WANTED))["model.safetensors"] == FILES["model.safetensors"]
    assert whole <= hub.sent["model.safetensors"] < whole + (2 << 20)


def test_what_was_half_fetched_is_never_read(
    hub: Hub, repository: Repository, monkeypatch: pytest.MonkeyPatch, quick_retries: None
) -> None:
    hub.cut_after = [1000] * 50
    refused("owner/tiny", WANTED)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    said = refused("owner/tiny", WANTED)
    assert "is not whole in" in said
    assert "run once without --offline" in said
    monkeypatch.delenv("HF_HUB_OFFLINE")
    hub.cut_after = []
    assert held(fetch("owner/tiny", WANTED))["model.safetensors"] == FILES["model.safetensors"]


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_bytes_that_are_not_the_hubs_are_refused(hub: Hub, repository: Repository, name: str) -> None:
    hub.other_bytes = {name}
    said = refused("owner/tiny", WANTED)
    assert f"{name} is not the hub's file" in said
    assert "remove" in said
    hub.other_bytes = set()
    Path(said.partition("; remove ")[2].removesuffix(" and run again")).unlink()
    assert held(fetch("owner/tiny", WANTED))[name] == FILES[name]


def test_a_hub_that_asks_to_wait_is_asked_again(hub: Hub, repository: Repository, quick_retries: None) -> None:
    fetch("owner/tiny", ["config.json"])
    hub.status = [429, 200, 429, 200]
    assert held(fetch("owner/tiny", WANTED))["model.safetensors"] == FILES["model.safetensors"]


@pytest.mark.parametrize(
    ("status", "words"), [(429, "the hub asks to slow down (429)"), (503, "the hub answers 503; try again later")]
)
def test_a_hub_in_trouble_is_named(hub: Hub, repository: Repository, status: int, words: str, quick_retries: None) -> None:
    hub.status = [status]
    assert words in refused("owner/tiny", WANTED)


def test_a_hub_that_is_not_there_or_behind_a_wrong_proxy(
    hub: Hub, repository: Repository, monkeypatch: pytest.MonkeyPatch, quick_retries: None
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    import huggingface_hub

    huggingface_hub.close_session()
    said = refused("owner/tiny", WANTED)
    assert "through the proxy of HTTP_PROXY=http://127.0.0.1:9 does not answer as a hub" in said
    monkeypatch.delenv("HTTP_PROXY")
    huggingface_hub.close_session()
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    said = refused("owner/other", WANTED)
    assert "http://127.0.0.1:9 does not answer as a hub" in said
    assert "--offline, or a local folder" in said


@pytest.mark.parametrize("revision", [None, "a1" * 20])
def test_a_hub_that_never_answers_is_given_up(
    hub: Hub, repository: Repository, monkeypatch: pytest.MonkeyPatch, quick_retries: None, revision: str | None
) -> None:
    monkeypatch.setattr("ropepp_eval.hub.SILENCE_S", 0.2)
    hub.silent = True
    said = refused("owner/tiny", WANTED, revision=revision)
    assert "does not answer as a hub (TimeoutError: timed out" in said
    assert "with --offline" in said
    assert sum(hub.asked.values()) <= 6


def test_a_full_disk_names_the_cache(hub: Hub, repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("huggingface_hub.file_download.http_get", full)
    said = refused("owner/tiny", WANTED)
    assert "does not fit on the disk" in said
    assert "HF_HUB_CACHE" in said


def _fetch_in_a_process(sha: str) -> bool:
    return fetch("owner/tiny", WANTED).name == sha


def test_two_processes_fetch_the_same_at_once(hub: Hub, repository: Repository) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert pool.map(_fetch_in_a_process, [repository.sha] * 2, chunksize=1) == [True, True]
    assert held(fetch("owner/tiny", WANTED))["model.safetensors"] == FILES["model.safetensors"]
