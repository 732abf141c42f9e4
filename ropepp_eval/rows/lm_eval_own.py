"""lm-eval's own tasks beside ours of the same name: `lm_eval:NAME` is lm-eval's, `NAME` is ours."""

from __future__ import annotations

import contextlib
import functools
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from ropepp_eval.errors import unknown_name
from ropepp_eval.outside import parse_yaml, read_bytes
from ropepp_eval.rows.task_files import FUNCTION

PREFIX = "lm_eval:"
"""No `/`: lm-eval names files by its tasks."""
OURS = "ours-"
"""How the names of files begin that hold our tasks for lm-eval."""
_NAMED = re.compile(r"^(?:task|group):[ \t]*['\"]?([^\s'\"\[\]#]+)", re.MULTILINE)


def write_own(name: str, folder: Path) -> str:
    """Write lm-eval's own task or group `lm_eval:NAME` into `folder`, the members of a group with it, and give its name in lm-eval.

    Raises:
        UserError: lm-eval 0.4.13 has no such task or group (its tags are none).
    """
    own, wanted = _own_files(), name.removeprefix(PREFIX)
    if wanted not in own:
        raise unknown_name("task of lm-eval", wanted, own, "`lm_eval ls tasks` lists them")
    content = parse_yaml(read_bytes(own[wanted]), str(own[wanted]), tags=(FUNCTION,))
    stub: dict[str, Any] = {"include": str(own[wanted]), "tag": []}  # its tags stay those of lm-eval's own name
    if "group" in content:
        stub |= {"group": name, "task": [_member(member, folder) for member in content.get("task", [])]}
    else:
        stub["task"] = name
    (folder / f"own-{wanted}.yaml").write_text(yaml.safe_dump(stub, sort_keys=False), encoding="utf-8")
    return name


def _member(member: Any, folder: Path) -> Any:
    """A member of a group of lm-eval's: a name, a name with settings, or a group written in place."""
    if isinstance(member, str):
        return write_own(f"{PREFIX}{member}", folder) if member in _own_files() else member
    if isinstance(member, dict) and isinstance(member.get("task"), list):
        return member | {"task": [_member(inner, folder) for inner in member["task"]]}
    if isinstance(member, dict) and isinstance(member.get("task"), str):
        return member | {"task": _member(member["task"], folder)}
    return member


@functools.lru_cache(maxsize=1)
def _own_files() -> dict[str, Path]:
    """lm-eval's YAML files by the task or group each names, found by their text: reading all as YAML takes many seconds."""
    import lm_eval.tasks

    found: dict[str, Path] = {}
    for path in sorted(Path(lm_eval.tasks.__file__).parent.rglob("*.yaml")):
        for name in _NAMED.findall(path.read_text(encoding="utf-8", errors="replace")):
            found.setdefault(name, path)
    return found


@contextlib.contextmanager
def without_own_tasks() -> Iterator[None]:
    """lm-eval's command line without the index of its own tasks, for which it reads 14,000 YAML files, also where only ours are asked for."""
    import lm_eval.evaluator  # noqa: F401 (takes its TaskManager before it is another one)
    import lm_eval.tasks as tasks

    manager = tasks.TaskManager
    tasks.TaskManager = functools.partial(manager, include_defaults=False)
    try:
        yield
    finally:
        tasks.TaskManager = manager


class OverridesInOneSentence(logging.Filter):
    """Takes lm-eval's lines "Task ... overrides existing task ..." about our tasks, and says one sentence where one of them was asked for."""

    LOGGER = "lm_eval.tasks._index"

    def __init__(self, asked: Iterable[str], say: Callable[[str], None]) -> None:
        super().__init__()
        self._asked, self._say, self._said = frozenset(asked), say, False

    def filter(self, record: logging.LogRecord) -> bool:
        """False for such a line; other lines pass."""
        facts = record.args if isinstance(record.args, tuple) else ()
        if "overrides existing" not in str(record.msg) or len(facts) != 3 or not Path(str(facts[1])).name.startswith(OURS):
            return True
        if facts[0] in self._asked and not self._said:
            self._said = True
            self._say(
                f"{facts[0]} is ropepp-eval's task; lm-eval's own of that name is {PREFIX}{facts[0]}, and so for the others"
            )
        return False
