"""What an executor tells while it works, to the screen and to the run folder; and how fast it turns out to be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ropepp_eval.forecasts.pace import Pace
from ropepp_eval.inert import inert
from ropepp_eval.runs.progress import Progress
from ropepp_eval.runs.store import RunStore
from ropepp_eval.words import counted
from ropepp_eval.worker_states import WorkerState, remove_states, write_states

if TYPE_CHECKING:
    from ropepp_eval.runs.foresight import Foresight
    from ropepp_eval.runs.plan import Cell, PlannedCheckpoint


class Watch:
    """Passes on which checkpoint is loaded, which cell is asked, what ran, and what went wrong and was worked around."""

    def __init__(self, store: RunStore, progress: Progress, say: Callable[[str], None], foresight: Foresight) -> None:
        self._store = store
        self._progress = progress
        self._foresight = foresight
        self.say = say

    def loading(self, label: str) -> None:
        """A checkpoint is being loaded."""
        self._progress.loading(label)

    def loaded(self, checkpoint: PlannedCheckpoint, adapter: Any) -> None:
        """A checkpoint is loaded in this process, where it can be measured: the time of its rows is foreseen from now on."""
        if self._foresight.loaded(checkpoint, adapter, self._progress):
            self._store.write_manifest(cells=self._foresight.noted(self._store.manifest["cells"]))

    def foreseen(self, seconds: Mapping[int, float]) -> None:
        """What the rows of cells take in proportion to each other, by `id` of the cell."""
        self._progress.foreseen(seconds, measured=False)

    @property
    def pace(self) -> Pace:
        """How the rows that are stored compare with what was foreseen, by `id` of their cell."""
        return self._progress.pace

    def asking(self, cell: Cell) -> None:
        """Rows of a cell begin to be asked."""
        self._progress.asking(cell)

    def ran(self, label: str, facts: Mapping[str, Any]) -> None:
        """Which device, dtype and attention kernel a checkpoint really runs with."""
        self._store.write_manifest(ran={**self._store.manifest.get("ran", {}), label: dict(facts)})

    def event(self, about: str, text: str) -> None:
        """Something went wrong and was worked around, such as memory running out. `about` is a checkpoint's label, or `cluster`."""
        self.say(f"  {about}: {text}")
        events = self._store.manifest.get("events", {})
        if inert(text) not in events.get(about, ()):
            self._store.write_manifest(events={**events, about: [*events.get(about, ()), inert(text)]})

    def workers(self, states: Sequence[WorkerState], dashboard: str = "") -> None:
        """What each worker does now."""
        rate = sum(state.rows_a_minute or 0.0 for state in states)
        self._progress.side_by_side = len(states)
        self._progress.prefix = f"{counted(len(states), 'worker')}, {rate:.3g} rows a minute: "
        write_states(self._store.folder, states, dashboard)

    def no_workers(self) -> None:
        """They are gone."""
        self._progress.prefix, self._progress.side_by_side = "", 1
        remove_states(self._store.folder)
