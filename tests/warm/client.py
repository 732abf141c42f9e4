"""`python -IS client.py SOCKET MODULE ARGUMENT...`: ask `parent.py` for the process that `python -m MODULE ARGUMENT...` would be.

What it hands on is what a new process inherits. Signals that end a process are passed to that process; where this one is killed, it is
killed too. Its number is written to the file descriptor that `WARM_PID_FD` names. Only the standard library: this starts in no time.
"""

import json
import os
import resource
import signal
import socket
import sys

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LIMITS = ("RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_AS", "RLIMIT_CORE")


def main() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    environment = dict(os.environ)
    told = environment.pop("WARM_PID_FD", None)
    asked = {
        "module": sys.argv[2],
        "arguments": sys.argv[3:],
        "folder": os.getcwd(),
        "environment": environment,
        "limits": {name: resource.getrlimit(getattr(resource, name)) for name in LIMITS},
        "ignored": [number for number in ENDING if signal.getsignal(number) == signal.SIG_IGN],
    }
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(sys.argv[1])
    text = json.dumps(asked).encode()
    socket.send_fds(connection, [len(text).to_bytes(8, "big")], [0, 1, 2])
    connection.sendall(text)
    answers = connection.makefile("rb")
    pid = int(answers.readline())
    if told is not None:
        os.write(int(told), b"%d\n" % pid)
    for number in ENDING:
        if number not in asked["ignored"]:
            signal.signal(number, lambda number, frame: os.kill(pid, number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    status = int(answers.readline())
    if os.WIFSIGNALED(status):
        signal.signal(os.WTERMSIG(status), signal.SIG_DFL) if os.WTERMSIG(status) != signal.SIGKILL else None
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.waitstatus_to_exitcode(status))


main()
