"""The forms by name, each with what writes it and what opens it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ropepp_eval.reports.share.contents import Shared
from ropepp_eval.reports.share.every_eval_ever import write_records
from ropepp_eval.reports.share.inspect_logs import check_inspect, write_logs
from ropepp_eval.reports.share.lm_eval_files import write_lm_eval
from ropepp_eval.reports.share.parquet_files import write_parquet

CARD = "card"
"""The one form that is a text and no folder; see `model_card`."""


@dataclass(frozen=True)
class Form:
    """One form that is a folder of files."""

    write: Callable[[Shared, Path], None]
    """Into an empty folder."""
    opened_by: str
    """The next command, with {out} for the folder as a shell takes it."""
    check: Callable[[], None] = lambda: None
    """Raises UserError where something it needs is not installed."""


FORMS = {
    "inspect": Form(write_logs, "inspect view --log-dir {out}", check_inspect),
    "every-eval-ever": Form(write_records, "cd {out} && every_eval_ever validate 'data/*/*/*/*'"),
    "lm-eval": Form(write_lm_eval, "ropepp-eval table {out}"),
    "parquet": Form(write_parquet, "with any reader of Parquet; {out}/DICTIONARY.md says each column"),
}
NAMES = (*FORMS, CARD)
