"""The one way to the Hugging Face hub: files of a repository at one revision, whole and with the hub's checksums, or one sentence.

The hub's own client fetches, goes on with a download that was cut, and keeps what it fetched; afterwards no network is needed. `HF_ENDPOINT`,
`HF_HUB_CACHE`, `HF_TOKEN` and `HF_HUB_OFFLINE` mean what they mean to it, and are read at each call.
"""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from ropepp_eval.errors import UserError
from ropepp_eval.inert import inert

SILENCE_S = 10.0
"""Seconds without a byte after which a request is given up; the client asks for some things six times."""
_TRIES, _LONGEST_WAIT_S = 3, 30
_TRUE = {"1", "on", "yes", "true"}
_PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")


def fetch(
    repository: str,
    wanted: Sequence[str],
    *,
    revision: str | None = None,
    dataset: bool = False,
    checksum: Callable[[Path], str] | None = None,
) -> Path:
    """The folder that holds a repository's files at one revision, fetched unless they are in the client's cache.

    Args:
        repository: `owner/name`.
        wanted: patterns of the files' paths, such as `*.json`; all that match come.
        revision: a commit, tag or branch; None: the newest of the main branch.
        dataset: whether it is a data set and no model.
        checksum: gives a file's sha256, where that is known without reading it again.

    Raises:
        UserError: it can't be had, or is not what the hub says it is; the message says why and what to do.
    """
    from huggingface_hub import constants, get_cached_repo_tree, snapshot_download
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    cache = os.environ.get("HF_HUB_CACHE") or constants.HF_HUB_CACHE
    kind = "dataset" if dataset else "model"

    def download() -> str:
        return snapshot_download(
            repository,
            repo_type=kind,
            revision=revision,
            cache_dir=cache,
            endpoint=_endpoint(),
            allow_patterns=list(wanted),
            local_files_only=offline(),
        )

    _bound_waits()
    try:
        folder = Path(_again_when_told(download))
        listed = get_cached_repo_tree(repository, repo_type=kind, revision=folder.name, cache_dir=cache)
    except CachedRepoTreeNotFoundError:  # an older client's cache, which kept no list to compare with
        return folder
    except Exception as error:  # the client's errors have no common base
        raise UserError(
            f"{_called(repository, revision, dataset)} {_why(error, repository, revision, Path(cache))}"
        ) from error
    for entry in listed:
        if any(fnmatch(entry.path, pattern) for pattern in wanted):
            _check(folder / entry.path, entry.blob_id, checksum or _sha256)
    return folder


def is_cached(repository: str, wanted: Sequence[str], *, revision: str | None = None) -> bool:
    """Whether `fetch` finds a model's files in the client's cache; the network is not asked."""
    from huggingface_hub import constants, snapshot_download

    cache = os.environ.get("HF_HUB_CACHE") or constants.HF_HUB_CACHE
    try:
        snapshot_download(repository, revision=revision, cache_dir=cache, allow_patterns=list(wanted), local_files_only=True)
    except (OSError, ValueError):  # not there, or not whole
        return False
    return True


def _bound_waits() -> None:
    """The client's requests have no limit of their own, so a hub that never answers would hold them for ever."""
    from huggingface_hub import get_session

    session = get_session()
    hooks = session.event_hooks
    if _bounded not in hooks["request"]:
        session.event_hooks = {**hooks, "request": [*hooks["request"], _bounded]}


def _bounded(request: Any) -> None:
    limits = request.extensions.get("timeout", {})
    request.extensions["timeout"] = {name: limits.get(name) or SILENCE_S for name in ("connect", "read", "write", "pool")}


def _again_when_told(download: Callable[[], str]) -> str:
    """The client asks again for files, not for what it reads before them: a busy hub (429) or one in trouble is asked three times."""
    from huggingface_hub.errors import HfHubHTTPError

    for _ in range(_TRIES - 1):
        try:
            return download()
        except Exception as error:
            answered = next((one.response for one in _chain(error) if isinstance(one, HfHubHTTPError)), None)
            if answered is None or not (answered.status_code == 429 or answered.status_code >= 500):
                raise
            wait = answered.headers.get("Retry-After", "")
            time.sleep(min(int(wait), _LONGEST_WAIT_S) if wait.isdecimal() else 2)
    return download()


def offline() -> bool:
    """Whether the network must not be touched."""
    return os.environ.get("HF_HUB_OFFLINE", os.environ.get("TRANSFORMERS_OFFLINE", "")).lower() in _TRUE


def split_revision(written: str) -> tuple[str, str | None]:
    """`owner/name@REVISION`, or a card's name with a revision, as its two parts; without one the second is None."""
    name, at, revision = written.partition("@")
    return (name, revision) if at and revision else (written, None)


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def _called(repository: str, revision: str | None, dataset: bool) -> str:
    at = f"@{revision}" if revision else ""
    return f"{'data set' if dataset else 'hub repository'} {inert(f'{repository}{at}')}"


def _why(error: BaseException, repository: str, revision: str | None, cache: Path) -> str:
    """What went wrong and what to do, as the rest of a sentence that begins with the repository."""
    from huggingface_hub import errors

    causes = list(_chain(error))
    status = next((one.response.status_code for one in causes if isinstance(one, errors.HfHubHTTPError)), None)
    if any(isinstance(one, errors.GatedRepoError) for one in causes):
        return _gated(repository, bool(status == 403))
    if any(isinstance(one, errors.RevisionNotFoundError) for one in causes):
        return f"has no such revision; leave it out for the newest, or take one of {_endpoint()}/{inert(repository)}/commits/main"
    if any(isinstance(one, errors.RepositoryNotFoundError) for one in causes):
        return f"is not at {_endpoint()}, or is private; check the name, and `hf auth login` where it is private"
    if any(isinstance(one, OSError) and one.errno == errno.ENOSPC for one in causes):
        return (
            f"does not fit on the disk: {inert(cache)} is full; free space there, or name another folder with HF_HUB_CACHE"
        )
    if any(isinstance(one, OSError) and one.errno in (errno.EACCES, errno.EROFS) for one in causes):
        return f"can't be stored: {inert(cache)} can't be written to; name another folder with HF_HUB_CACHE"
    if offline():
        return (
            f"is not whole in {inert(cache)}, and offline nothing is fetched; run once without --offline and HF_HUB_OFFLINE"
        )
    if status == 429:
        return "can't be fetched: the hub asks to slow down (429); wait some minutes, or `hf auth login` for a higher limit"
    if status is not None:
        return f"can't be fetched: the hub answers {status}; try again later, or use a local folder"
    if any(isinstance(one, errors.HFValidationError) for one in causes):
        return "is no name of a repository; write owner/name"
    proxies = ", ".join(f"{name}={inert(os.environ[name])}" for name in _PROXIES if os.environ.get(name))
    through = f" through the proxy of {proxies}" if proxies else ""
    return (
        f"can't be fetched: {_endpoint()}{through} does not answer as a hub ({_kind(causes[-1])}); check the network, or use what "
        "was fetched before with --offline, or a local folder"
    )


def _gated(repository: str, logged_in: bool) -> str:
    page = f"{_endpoint()}/{inert(repository)}"
    if logged_in:
        return f"is gated, and the account of the token here has no access yet; ask for it at {page}"
    return f"is gated; accept its terms at {page}, then `hf auth login`, or set HF_TOKEN"


def _chain(error: BaseException | None) -> list[BaseException]:
    """The error and what caused it, the first cause last."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _kind(error: BaseException) -> str:
    words = " ".join(str(error).split())
    return inert(f"{type(error).__name__}: {words}" if 0 < len(words) <= 120 else type(error).__name__)


def _check(file: Path, blob: str, checksum: Callable[[Path], str]) -> None:
    """The client compares sizes only, and lists git's hash of each file. Of a large one git holds a note with its sha256, by which the
    client calls what it stores.
    """
    sha256 = checksum(file)
    with file.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        note = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
        if file.resolve().name == sha256 or _git_hash(len(note), note).hexdigest() == blob:
            return
        if hashlib.file_digest(stream, lambda: _git_hash(size)).hexdigest() == blob:
            return
    raise UserError(
        f"{inert(file)} is not the hub's file (its sha256 begins with {sha256[:12]}, and git lists another); remove "
        f"{inert(file.resolve())} and run again"
    )


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _git_hash(size: int, begin: bytes = b"") -> Any:
    """Git's hash of a file of `size` bytes that begins so; the rest is still to be hashed."""
    return hashlib.sha1(b"blob %d\0%b" % (size, begin), usedforsecurity=False)
