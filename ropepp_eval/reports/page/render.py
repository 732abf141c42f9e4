"""From the page's data to one HTML file. The same data gives the same bytes.

Text enters through autoescape or, as data, through `tojson`; the page's own script and style are let in by their hashes and nothing
else is: no request, no other script, whatever stands in a row.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from importlib.resources import files
from typing import Any

from ropepp_eval.inert import inert
from ropepp_eval.reports.page.parts import Page
from ropepp_eval.reports.table import number_text

SCRIPTS = (
    "dom.js",
    "tables.js",
    "chart.js",
    "scores.js",
    "compare.js",
    "row_data.js",
    "row_detail.js",
    "rows.js",
    "start.js",
)
"""In the order in which they stand in the page; each is about one subject, all are one module."""
COLOURS = 7
"""Checkpoints that are told apart by colour, marker and line; the next ones begin again with open markers."""


def render_page(page: Page, *, reload_seconds: int | None = None) -> bytes:
    """The file. With `reload_seconds` the page loads itself again that often, until a reader stops it."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ropepp_eval.reports.page", "assets"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "allow_nan": False, "separators": (",", ":")}
    environment.filters |= {"inert": inert, "number": number_text, "grouped": lambda number: f"{number:,}"}
    style, script = _asset("page.css"), "\n".join(map(_asset, SCRIPTS))
    text = environment.get_template("page.html").render(
        page=page,
        data=data_of(page) | {"reload_seconds": reload_seconds},
        policy=policy(style, script),
        style=Markup(style),
        script=Markup(script),
        reload_seconds=reload_seconds,
    )
    return text.encode("utf-8")


def data_of(page: Page) -> dict[str, Any]:
    """What the script draws from. What stands in the page's own text is not in it."""
    kept = ("checkpoints", "charts", "depths", "pairs", "rows")
    return {"colours": COLOURS} | {name: value for name, value in dataclasses.asdict(page).items() if name in kept}


def policy(style: str, script: str) -> str:
    """The content security policy: our script and style, an empty picture for the tab, and nothing else."""
    allowed = {"script-src": _hash(script), "style-src": _hash(style), "img-src": "data:"}
    closed = ("default-src", "base-uri", "form-action")
    return "; ".join([*(f"{name} 'none'" for name in closed), *(f"{name} {source}" for name, source in allowed.items())])


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _asset(name: str) -> str:
    return (files("ropepp_eval.reports.page") / "assets" / name).read_text(encoding="utf-8")
