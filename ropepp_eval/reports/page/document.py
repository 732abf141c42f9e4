"""From run folders to everything that the page shows, as one document."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ropepp_eval.errors import UserError
from ropepp_eval.reports.cells import cells_of_runs
from ropepp_eval.reports.layouts import LayoutOptions
from ropepp_eval.reports.naming import checkpoint_labels
from ropepp_eval.reports.page.charts import charts_of, depths_of_page
from ropepp_eval.reports.page.pairs import pairs_of_page
from ropepp_eval.reports.page.parts import Page
from ropepp_eval.reports.page.provenance import run_facts
from ropepp_eval.reports.page.rows import rows_of_page
from ropepp_eval.reports.page.summary import checkpoints_of_page, effective_sections, progress_of, summary_of
from ropepp_eval.reports.plots import lengths_found
from ropepp_eval.reports.row_views import PromptOf
from ropepp_eval.reports.sources import read_runs


def page_of(
    dirs: Iterable[str | Path],
    *,
    rows: int | str,
    latest: bool = False,
    options: LayoutOptions | None = None,
    prompt_of: PromptOf | None = None,
) -> Page:
    """The page of run folders.

    Args:
        dirs: run folders, or folders of run folders.
        rows: which rows it holds; see `page.rows.parse_limit`.
        latest: where two runs hold the same cell and disagree, take the younger run's cell whole.
        prompt_of: gives a row's prompt, whose ends and needles the page then shows; None: no prompts, since corpora have owners.

    Raises:
        UserError: a folder holds no run; no cell was planned; or two runs disagree about a cell and `latest` is not set.
    """
    runs, damage = read_runs(dirs)
    cells = cells_of_runs(runs, damage, latest=latest)
    if not cells.cells:
        raise UserError(f"{runs[0].folder}: its run.json plans no cell and there are no rows; run the evaluation again")
    options = options or LayoutOptions()
    labels = list(checkpoint_labels(cells.cells).values())
    held = lengths_found(cells, options)
    effective, words = effective_sections(cells, held)
    return Page(
        title=f"{', '.join(labels[:4])}{f' and {len(labels) - 4} more' if len(labels) > 4 else ''}",
        summary=summary_of(cells, options),
        effective=effective,
        effective_words=words,
        progress=progress_of(cells, runs),
        checkpoints=checkpoints_of_page(cells),
        charts=charts_of(cells, options, held),
        depths=depths_of_page(cells, options),
        pairs=pairs_of_page(cells, options),
        rows=rows_of_page(cells, rows, prompt_of),
        runs=tuple(map(run_facts, runs)),
    )
