"""Ray itself: imported late, started or joined, and left without a trace."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import warnings
from collections.abc import Iterator
from typing import Any

from ropepp_eval.errors import Terminated, UserError
from ropepp_eval.inert import inert

TESTED = "2.60"
CONNECT_SECONDS = 10.0
"""In which something must listen at a cluster's address, and say something."""
_FRAME_HEAD_BYTES, _SETTINGS = 9, 4
"""Of HTTP/2: length (3), type, flags, stream (4); and the type of the frame that comes first."""


def require_ray() -> Any:
    """The module `ray`. Raises UserError where it is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise UserError("--on ray needs Ray, which is not installed; install the extra: pip install 'ropepp-eval[ray]'")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # what a run does is nobody's business
    with warnings.catch_warnings():  # of its own imports
        warnings.simplefilter("ignore")
        import ray
    return ray


def untested_release() -> str | None:
    """What to say where Ray's release is not the one that the tests run with."""
    version: str = require_ray().__version__
    tested = version == TESTED or version.startswith(f"{TESTED}.")
    return (
        None
        if tested
        else f"Ray {inert(version)} is not the tested release {TESTED}; if something goes wrong, install that one"
    )


def check_address(address: str) -> None:
    """Raise UserError for an address that is none, or where nothing listens."""
    if address == "auto":
        return
    if "://" in address:
        raise UserError(
            f"ray address {address!r} is of Ray's client, through which rows can't stream; run the command on a node of the cluster "
            "with --ray-address auto, or give HOST:PORT"
        )
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UserError(f"ray address {address!r} is none; give HOST:PORT, such as 10.0.0.1:6379, or auto")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS) as line:
            reason = "" if _speaks_http2(line) else "what listens there is something else"
    except OSError as error:
        reason = inert(error.strerror or str(error) or type(error).__name__)
    if reason:
        raise UserError(
            f"no Ray cluster at {address} ({reason}); start one with `ray start --head`, or leave out --ray-address"
        )


def _speaks_http2(line: socket.socket) -> bool:
    """Whether the other side answers as gRPC does, which Ray is reached by: at anything else Ray itself knocks for a quarter of an hour.

    Raises:
        OSError: it says nothing.
    """
    if os.environ.get("RAY_USE_TLS", "0") != "0":  # it waits for a handshake first
        return True
    line.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, _SETTINGS, 0, 0, 0, 0, 0]))  # RFC 9113, 3.4
    head = b""
    while len(head) < _FRAME_HEAD_BYTES and (more := line.recv(_FRAME_HEAD_BYTES - len(head))):
        head += more
    return len(head) == _FRAME_HEAD_BYTES and head[3] == _SETTINGS


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[str]:
    """Ray started on this machine, or the cluster at an address joined, until the context ends. Gives the address of Ray's page, or "".

    Raises:
        UserError: there is no cluster, or Ray can't start.
    """
    ray = require_ray()
    if ray.is_initialized():  # of a program that uses Ray itself
        yield ""
        return
    if address is not None:
        check_address(address)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        try:
            context = ray.init(
                address=address or "local",
                log_to_driver=False,
                logging_level="ERROR",
                configure_logging=True,
                **({} if address else {"include_dashboard": False}),
            )
        except SystemExit:  # what Ray makes of a SIGTERM while it starts
            raise Terminated(signal.SIGTERM) from None
        except Exception as error:  # Ray raises what it likes
            said = inert((str(error).splitlines() or [type(error).__name__])[0])[:300]
            where = f"join the cluster at {address}" if address else "start on this machine"
            raise UserError(
                f"Ray can't {where} ({said}); `ray status` on its head node, or the logs under /tmp/ray, say more"
            ) from error
        finally:
            for number, handler in before.items():  # Ray puts its own handler for SIGTERM in place of ours
                if handler is not None:
                    signal.signal(number, handler)
        page = str(context.dashboard_url or "")
        yield f"http://{page}" if page else ""
    finally:
        ray.shutdown()
