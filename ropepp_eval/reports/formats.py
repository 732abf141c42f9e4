"""A table in text, Markdown, LaTeX (booktabs), CSV, JSON and HTML. The same table gives the same bytes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable

from ropepp_eval.errors import unknown_name
from ropepp_eval.reports.latex import latex
from ropepp_eval.reports.table import Entry, Line, Section, Show, Table, detail_text, entry_json, number_text

TEXT_MARKS = {"best": "*", "second": "+", "": ""}


def check_format(form: str) -> None:
    """Raise a UserError unless `form` is a known format."""
    if form not in FORMATS:
        raise unknown_name("format", form, FORMATS, "give one with --format")


def render(table: Table, form: str, show: Show | None = None) -> str:
    """`table` as text that ends with a line end.

    Raises:
        UserError: `form` is none of the known formats.
    """
    check_format(form)
    return FORMATS[form](table, show or Show())


def _plain(entry: Entry, show: Show, marked: bool) -> str:
    """Where anything is marked, what isn't gets a blank in place of the mark, so that decimal points stand in line."""
    text = number_text(entry)
    text += TEXT_MARKS[entry.mark] or (" " if marked and text else "")
    detail = detail_text(entry, show)
    return f"{text} ({detail})" if detail else text


def _text(table: Table, show: Show) -> str:
    blocks = []
    for section in table.sections:
        head = [*section.label_columns, *section.columns]
        marked = [any(line.entries[i].mark for line in section.lines) for i in range(len(section.columns))]
        body = [
            [*line.labels, *(_plain(entry, show, mark) for entry, mark in zip(line.entries, marked, strict=True))]
            for line in section.lines
        ]
        widths = [max(len(row[i]) for row in [head, *body]) for i in range(len(head))]
        labels = len(section.label_columns)
        lines = [section.title, _aligned(head, widths, labels), "  ".join("-" * width for width in widths)]
        group = section.lines[0].group if section.lines else ""
        for line, row in zip(section.lines, body, strict=True):
            if line.group != group:
                lines.append("")
                group = line.group
            lines.append(_aligned(row, widths, labels))
        blocks.append("\n".join([*lines, *(f"  {note}" for note in section.notes)]))
    if table.notes:
        blocks.append("\n".join(table.notes))
    return "\n\n".join(blocks) + "\n"


def _aligned(row: list[str], widths: list[int], labels: int) -> str:
    left = [text.ljust(width) for text, width in zip(row[:labels], widths[:labels], strict=True)]
    right = [text.rjust(width) for text, width in zip(row[labels:], widths[labels:], strict=True)]
    return "  ".join([*left, *right]).rstrip()


MARKDOWN_MARKS = {"best": ("**", "**"), "second": ("<u>", "</u>"), "": ("", "")}


def _markdown(table: Table, show: Show) -> str:
    blocks = []
    for section in table.sections:
        head = [_markdown_escape(name) for name in (*section.label_columns, *section.columns)]
        rules = ["---"] * len(section.label_columns) + ["---:"] * len(section.columns)
        rows = [
            [*map(_markdown_escape, line.labels), *(_marked(entry, show, MARKDOWN_MARKS) for entry in line.entries)]
            for line in section.lines
        ]
        lines = [f"**{_markdown_escape(section.title)}**", "", *map(_piped, [head, rules, *rows])]
        notes = [f"- {_markdown_escape(note)}" for note in section.notes]
        blocks.append("\n".join([*lines, *([""] if notes else []), *notes]))
    if table.notes:
        blocks.append("\n".join(f"- {_markdown_escape(note)}" for note in table.notes))
    return "\n\n".join(blocks) + "\n"


def _marked(entry: Entry, show: Show, marks: dict[str, tuple[str, str]]) -> str:
    before, after = marks[entry.mark]
    text = number_text(entry) if entry.text is None else _markdown_escape(entry.text)
    detail = detail_text(entry, show)
    return (f"{before}{text}{after}" if text else "") + (f" ({detail})" if detail else "")


def _markdown_escape(text: str) -> str:
    for character in "\\`*_|<>[]":
        text = text.replace(character, "\\" + character)
    return text.replace("\n", " ")


def _piped(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _csv(table: Table, show: Show) -> str:
    """One table for all sections: fields and labels, then every column that any section has. Values unrounded."""
    fields = _merged_names(section.fields for section in table.sections)
    labels = _merged_names(section.label_columns for section in table.sections)
    columns = _merged_names(section.columns for section in table.sections)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    extra = _csv_extra(show)
    writer.writerow([*fields, *labels, *(f"{name}{suffix}" for name in columns for suffix in ["", *extra])])
    for section in table.sections:
        for line in section.lines:
            own = dict(zip(section.label_columns, line.labels, strict=True))
            entries = dict(zip(section.columns, line.entries, strict=True))
            cells = [cell for name in columns for cell in _csv_cells(entries.get(name), extra)]
            writer.writerow([*(section.fields.get(f, "") for f in fields), *(own.get(name, "") for name in labels), *cells])
    return out.getvalue()


def _merged_names(lists: Iterable[Iterable[str]]) -> list[str]:
    """Every name once, each new one before the known name that follows it in its own list."""
    merged: list[str] = []
    for names in map(list, lists):
        for i, name in enumerate(names):
            if name not in merged:
                following = [merged.index(later) for later in names[i + 1 :] if later in merged]
                merged.insert(min(following, default=len(merged)), name)
    return merged


def _csv_extra(show: Show) -> list[str]:
    extra = [" low", " high"] if show.intervals else []
    return extra + [f" {name}" for name in ("rows", "failed", "cut", "fill") if name in show.counts]


def _csv_cells(entry: Entry | None, extra: list[str]) -> list[str]:
    if entry is None:
        return [""] * (1 + len(extra))
    low, high = entry.interval or (None, None)
    known = {" low": low, " high": high, " rows": entry.rows, " failed": entry.failed}
    known |= {" cut": entry.cut, " fill": entry.fill}
    return [_csv_number(entry.value) if entry.text is None else entry.text, *(_csv_number(known[name]) for name in extra)]


def _csv_number(value: float | None) -> str:
    return "" if value is None else f"{value:.10g}"


def _json(table: Table, show: Show) -> str:
    """Everything the table knows, whatever `show` says."""
    sections = [
        {
            "title": section.title,
            **section.fields,
            "columns": list(section.columns),
            "lines": [_json_line(section, line) for line in section.lines],
            "notes": list(section.notes),
        }
        for section in table.sections
    ]
    content = {"format": 1, "sections": sections, "notes": list(table.notes)}
    return json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _json_line(section: Section, line: Line) -> dict[str, object]:
    entries = {name: entry_json(entry) for name, entry in zip(section.columns, line.entries, strict=True)}
    return {**dict(zip(section.label_columns, line.labels, strict=True)), "group": line.group, "entries": entries}


_HTML = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>ropepp-eval table</title>
<style>
body { font-family: sans-serif; margin: 2rem; color: #111; }
table { border-collapse: collapse; margin: 0.5rem 0; }
caption { text-align: left; font-weight: bold; padding: 0.3rem 0; }
th, td { padding: 0.2rem 0.7rem; text-align: right; }
th.label, td.label { text-align: left; }
thead tr, tr.group { border-top: 1px solid #111; }
thead tr, tbody { border-bottom: 1px solid #111; }
small { color: #444; }
</style></head>
<body>
{% for section in sections -%}
<table>
<caption>{{ section.title }}</caption>
<thead><tr>
{%- for name in section.label_columns %}<th class="label">{{ name }}</th>{% endfor -%}
{%- for name in section.columns %}<th>{{ name }}</th>{% endfor -%}
</tr></thead>
<tbody>
{% for line in section.lines -%}
<tr{% if not loop.first and line.group != loop.previtem.group %} class="group"{% endif %}>
{%- for label in line.labels %}<td class="label">{{ label }}</td>{% endfor -%}
{%- for entry in line.entries %}<td>
{%- if entry.mark == "best" %}<strong>{{ number(entry) }}</strong>
{%- elif entry.mark == "second" %}<u>{{ number(entry) }}</u>
{%- else %}{{ number(entry) }}{% endif -%}
{%- if detail(entry) %} <small>({{ detail(entry) }})</small>{% endif -%}
</td>{% endfor -%}
</tr>
{% endfor -%}
</tbody>
</table>
{% for note in section.notes %}<p>{{ note }}</p>
{% endfor %}
{%- endfor %}
{%- for note in notes %}<p>{{ note }}</p>
{% endfor -%}
</body>
</html>
"""


def _html(table: Table, show: Show) -> str:
    import jinja2

    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(_HTML)
    page = template.render(
        sections=table.sections, notes=table.notes, number=number_text, detail=lambda entry: detail_text(entry, show)
    )
    return page + "\n"


FORMATS: dict[str, Callable[[Table, Show], str]] = {
    "text": _text,
    "markdown": _markdown,
    "csv": _csv,
    "latex": latex,
    "json": _json,
    "html": _html,
}
