"""`python -m tests.warm.parent SOCKET OWNER INDEX`: import everything once, then fork a process for each `client.py` that asks.

Ends when the process OWNER has. INDEX is the file in which lm-eval's index of its own tasks is kept (tests/lm_eval_index.py).
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import io
import json
import os
import pkgutil
import resource
import runpy
import select
import signal
import socket
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, NoReturn

_NAMES = {
    "transformers": ("AutoModelForCausalLM", "AutoTokenizer", "DynamicCache", "GenerationMixin", "LlamaForCausalLM", "PreTrainedTokenizerFast"),
    "lm_eval": ("simple_evaluate",),
}  # fmt: skip
"""What is loaded only when it is first named."""
_MODULES = (
    "torch._dynamo",
    "scipy.stats",
    "lm_eval._cli",
    "lm_eval.models",
    "lm_eval.models.huggingface",
    "lm_eval.models.dummy",
)
_NOT_EVERYWHERE = ("ropepp_eval.vllm_plugin", "ropepp_eval.adapters.vllm", "ropepp_eval.cluster")
"""Need vLLM or Ray, or start threads."""


def import_everything() -> None:
    """What commands import, so that a fork has it; ours import nothing that runs."""
    import ropepp_eval

    for package, names in _NAMES.items():
        for name in names:
            getattr(importlib.import_module(package), name)
    for name in _MODULES:
        importlib.import_module(name)
    for found in pkgutil.walk_packages(ropepp_eval.__path__, "ropepp_eval.", onerror=lambda name: None):
        if not found.name.startswith(_NOT_EVERYWHERE) and not found.name.endswith("__main__"):
            importlib.import_module(found.name)


def serve(path: Path, owner: int) -> dict[str, Any] | None:
    """Fork for those who ask. Gives in a forked process what was asked of it, and None in this one, at the end."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{path}.new")
    listener.listen(64)
    listener.settimeout(2)
    os.rename(f"{path}.new", path)  # there for others from here on
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that attend to a process
    while Path(f"/proc/{owner}").exists():
        with contextlib.suppress(TimeoutError):
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                return _attended(connection)
            connection.close()
    return None


def _attended(connection: socket.socket) -> dict[str, Any]:
    """Returns in a process of its own, and attends to it in this one, which ends with it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    connection.settimeout(None)
    size, streams, _, _ = socket.recv_fds(connection, 8, 3)
    text = b""
    while len(text) < int.from_bytes(size, "big"):
        text += connection.recv(1 << 20)
    pid = os.fork()
    if pid == 0:
        connection.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        return dict(json.loads(text))
    for stream in (0, *streams):
        os.close(stream)
    connection.sendall(b"%d\n" % pid)
    ended = os.pidfd_open(pid)
    if ended not in select.select([ended, connection], [], [])[0]:
        os.kill(pid, signal.SIGKILL)  # its client is gone
    _, status, used = os.wait4(pid, 0)
    print(f"{used.ru_utime + used.ru_stime:.1f} s: {' '.join(json.loads(text)['arguments'])}", flush=True)  # into the log
    with contextlib.suppress(OSError):
        connection.sendall(b"%d\n" % status)
    os._exit(0)


def become(asked: dict[str, Any]) -> None:
    """Run what was asked as a new Python would."""
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    for name, limit in asked["limits"].items():
        resource.setrlimit(getattr(resource, name), limit)
    for number in asked["ignored"]:
        signal.signal(number, signal.SIG_IGN)
    error = {"buffering": 1, "errors": "backslashreplace"}
    for number, name, settings in ((0, "stdin", {}), (1, "stdout", {"mode": "w"}), (2, "stderr", {"mode": "w", **error})):
        stream = open(number, encoding="utf-8", closefd=False, **settings)  # noqa: SIM115 (as long as the process)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    if os.environ.get("PYTHONUNBUFFERED"):
        raw = open(1, "wb", buffering=0, closefd=False)  # noqa: SIM115 (as long as the process)
        sys.stdout = sys.__stdout__ = io.TextIOWrapper(raw, encoding="utf-8", write_through=True)  # type: ignore[misc,type-var]
    sys.path[0] = asked["folder"]
    sys.argv = [asked["module"], *asked["arguments"]]
    end(_status_of(asked["module"]))


def _status_of(module: str) -> int:
    """Run a module as `python -m` does. Gives the exit status."""
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ending:
        if ending.code is None or isinstance(ending.code, int):
            return ending.code or 0
        print(ending.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def end(status: int) -> NoReturn:
    """As Python ends: threads, what was registered, streams. But it does not take everything apart, which takes seconds where so much is loaded."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        status = 120
    os._exit(status)


if __name__ == "__main__":
    socket_path, owner_pid, index = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    for ending, handler in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGTERM, signal.SIG_DFL),
        (signal.SIGHUP, signal.SIG_DFL),
    ):
        signal.signal(ending, handler)
    import_everything()
    from tests.lm_eval_index import remember

    remember(index)
    names = [file.read_text().strip() for file in Path("/proc/self/task").glob("*/comm")]
    threads = [name for name in names if name != "jemalloc_bg_thd"]  # pyarrow's allocator, which knows of forks
    assert len(threads) == 1, f"a fork would lack threads: {threads}"
    gc.collect()
    gc.freeze()  # a fork need not look through all of it
    task = serve(socket_path, owner_pid)
    if task is not None:
        become(task)
