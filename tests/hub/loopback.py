"""A small server on loopback that speaks what huggingface_hub's client asks: info and tree at a revision, files with ETags, ranges, a
redirect for large files, gated repositories, and everything that goes wrong on the way."""

from __future__ import annotations

import functools
import hashlib
import json
import mmap
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

LARGE = (".safetensors", ".parquet", ".jsonl")
"""Endings of the files that are stored as large ones, by their sha256 and behind a redirect."""
TOKEN = "hf_of_the_loopback"
Content = bytes | mmap.mmap
"""Of a file; a large one may stay on disk."""


@functools.lru_cache(maxsize=64)
def _sha256(content: Content) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Repository:
    """One repository at a commit."""

    files: dict[str, Content]
    dataset: bool = False
    gated: bool = False
    sha: str = "a1" * 20
    newer: Repository | None = None
    """What its main branch has moved to."""

    def entries(self) -> list[dict[str, object]]:
        """What the tree lists."""
        return [self.entry(path) for path in sorted(self.files)]

    def entry(self, path: str) -> dict[str, object]:
        """What the tree says of a file; git keeps a note in place of a large one."""
        content = self.files[path]
        kept: Content = content
        entry: dict[str, object] = {"type": "file", "path": path, "size": len(content)}
        if path.endswith(LARGE):
            sha256, size = _sha256(content), len(content)
            kept = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
            entry["lfs"] = {"oid": sha256, "size": size, "pointerSize": len(kept)}
        entry["oid"] = hashlib.sha1(b"blob %d\0%b" % (len(kept), kept), usedforsecurity=False).hexdigest()
        return entry


@dataclass
class Hub:
    """What the server knows and has seen."""

    endpoint: str
    repositories: dict[str, Repository] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    """Requests by method and path."""
    sent: Counter[str] = field(default_factory=Counter)
    """Bytes of files sent, by path."""
    status: list[int] = field(default_factory=list)
    """Statuses that the next requests get instead of an answer, one each; the last one stays."""
    cut_after: list[int] = field(default_factory=list)
    """The next large files are cut off after so many bytes, one each."""
    other_bytes: set[str] = field(default_factory=set)
    """Paths whose bytes are not those that the tree promises."""
    silent: bool = False
    """Takes requests and never answers."""
    released: threading.Event = field(default_factory=threading.Event)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: tests read `Hub.asked`."""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub = self.hub
        path = unquote(urlsplit(self.path).path)
        hub.asked[f"{self.command} {path}"] += 1
        if hub.silent:
            hub.released.wait(60)
            return
        if hub.status:
            status = hub.status[0] if len(hub.status) == 1 else hub.status.pop(0)
            if status != 200:
                self._send(status, b"{}", {"Retry-After": "1"} if status == 429 else {})
                return
        words = path.strip("/").split("/")
        if words[0] == "api":
            self._api(words[1] == "datasets", "/".join(words[2:4]), words[4:])
        elif words[0] == "large":
            self._large("/".join(words[1:]))
        else:
            dataset = words[0] == "datasets"
            words = words[dataset:]
            self._resolve(dataset, "/".join(words[:2]), words[3], "/".join(words[4:]))

    def _repository(self, dataset: bool, name: str, revision: str) -> Repository | None:
        """The repository, where it may be read at that revision; else an error has been sent."""
        found = self.hub.repositories.get(name)
        if found is None or found.dataset != dataset:
            self._send(401, b'{"error":"Repository not found"}', {"X-Error-Code": "RepoNotFound"})
        elif found.newer is not None and revision in ("main", found.newer.sha):
            return found.newer
        elif revision not in ("main", found.sha):
            self._send(404, b'{"error":"Invalid rev id"}', {"X-Error-Code": "RevisionNotFound"})
        else:
            return found
        return None

    def _refused(self, found: Repository) -> bool:
        given = self.headers.get("Authorization", "")
        if not found.gated or given == f"Bearer {TOKEN}":
            return False
        self._send(
            403 if given else 401,
            b'{"error":"gated"}',
            {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"},
        )
        return True

    def _api(self, dataset: bool, name: str, rest: list[str]) -> None:
        revision = rest[1] if len(rest) > 1 else "main"
        found = self._repository(dataset, name, revision)
        if found is None:
            return
        if rest[:1] == ["tree"]:
            if not self._refused(found):
                self._send_json(found.entries())
        else:
            siblings = [{"rfilename": path} for path in found.files]
            self._send_json(
                {"id": name, "sha": found.sha, "siblings": siblings, "gated": "manual" if found.gated else False}
            )

    def _resolve(self, dataset: bool, name: str, revision: str, path: str) -> None:
        found = self._repository(dataset, name, revision)
        if found is None or self._refused(found):
            return
        if path not in found.files:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": found.sha})
            return
        entry = found.entry(path)
        headers = {"X-Repo-Commit": found.sha, "ETag": f'"{entry["oid"]}"', "Accept-Ranges": "bytes"}
        if isinstance(lfs := entry.get("lfs"), dict):
            headers |= {"X-Linked-ETag": f'"{lfs["oid"]}"', "X-Linked-Size": str(lfs["size"])}
            elsewhere = self.hub.endpoint.replace("127.0.0.1", "localhost")  # large files lie on another host
            self._send(302, b"", {**headers, "Location": f"{elsewhere}/large/{name}/{path}"})
            return
        self._send_file(path, found.files[path], headers)

    def _large(self, place: str) -> None:
        name = "/".join(place.split("/")[:2])
        path = place.removeprefix(f"{name}/")
        self._send_file(path, self.hub.repositories[name].files[path], {"Accept-Ranges": "bytes"}, large=True)

    def _send_file(self, path: str, stored: Content, headers: dict[str, str], large: bool = False) -> None:
        content = memoryview(bytes(len(stored)) if path in self.hub.other_bytes else stored)
        status, begin = 200, 0
        if wanted := self.headers.get("Range"):
            begin = int(wanted.removeprefix("bytes=").split("-")[0])
            status, headers = 206, {**headers, "Content-Range": f"bytes {begin}-{len(content) - 1}/{len(content)}"}
        content = content[begin:]
        self.send_response(status)
        for header, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(header, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        cut = self.hub.cut_after.pop(0) if large and self.hub.cut_after else len(content)
        self.wfile.write(content[:cut])
        self.hub.sent[path] += len(content[:cut])
        if cut < len(content):
            self.close_connection = True

    def _send_json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for header, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(header, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def loopback_hub() -> Iterator[Hub]:
    """A hub on a free port of this machine, until the block ends."""
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    handler.hub = Hub(endpoint=f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield handler.hub
    finally:
        handler.hub.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
