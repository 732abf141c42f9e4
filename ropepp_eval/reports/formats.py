"""A table in text, Markdown, LaTeX (booktabs), CSV, JSON and HTML. The same table gives the same bytes."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from ropepp_eval.errors import unknown_name
from ropepp_eval.inert import raw_stream
from ropepp_eval.reports.table import Entry, Line, Section, Show, Table, detail_text, entry_json, inert_table, number_text
from ropepp_eval.reports.text import output_width, plain_text, print_styled


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
    return FORMATS[form](table if form == "json" else inert_table(table), show or Show())


def print_table(table: Table, form: str, show: Show | None = None) -> None:
    """Print on standard output; text as wide as it may be there, with styles on a terminal.

    Raises:
        UserError: `form` is none of the known formats.
    """
    show = replace(show or Show(), width=output_width())
    if form == "text" and raw_stream(sys.stdout).isatty():
        print_styled(inert_table(table), show)
    else:
        sys.stdout.write(render(table, form, show))


@dataclass(frozen=True)
class Markup:
    """How a language of marked-up text writes a table's cells."""

    escape: Callable[[str], str]
    """Text as it is read, whatever stands in it."""
    marks: dict[str, tuple[str, str]]
    """What stands before and after a marked value."""
    detail: str
    number: Callable[[str], str] = str

    def lines(self, section: Section, show: Show) -> list[list[str]]:
        """The cells of each line, labels first."""
        return [
            [*map(self.escape, line.labels), *(self._entry(entry, show) for entry in line.entries)] for line in section.lines
        ]

    def _entry(self, entry: Entry, show: Show) -> str:
        before, after = self.marks[entry.mark]
        text, detail = number_text(entry), detail_text(entry, show)
        value = self.number(text) if entry.text is None else self.escape(text)
        return (f"{before}{value}{after}" if text else "") + (self.detail.format(self.escape(detail)) if detail else "")


def _markdown(table: Table, show: Show) -> str:
    blocks = [_markdown_escape(sentence) for sentence in table.lead]
    for section in table.sections:
        head = [_markdown_escape(name) for name in (*section.label_columns, *section.columns)]
        rules = ["---"] * len(section.label_columns) + ["---:"] * len(section.columns)
        rows = MARKDOWN.lines(section, show)
        lines = [f"**{_markdown_escape(section.title)}**", "", *map(_piped, [head, rules, *rows])]
        notes = [f"- {_markdown_escape(note)}" for note in section.notes]
        blocks.append("\n".join([*lines, *([""] if notes else []), *notes]))
    if table.notes:
        blocks.append("\n".join(f"- {_markdown_escape(note)}" for note in table.notes))
    return "\n\n".join(blocks) + "\n"


def _markdown_escape(text: str) -> str:
    for character in "\\`*_|<>[]":
        text = text.replace(character, "\\" + character)
    return text


MARKDOWN = Markup(_markdown_escape, {"best": ("**", "**"), "second": ("<u>", "</u>"), "": ("", "")}, " ({})")


def _piped(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


LATEX_ESCAPES = str.maketrans({
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
})  # fmt: skip
FLOATS_AT_ONCE = 12
"""LaTeX keeps only some tables that it has not placed yet (18 in older ones), then stops; so these are placed first."""
CHARACTERS_A_LINE = 85
"""A table wider than this is scaled down to the text's width, which a page of 10 pt holds otherwise."""


def _latex(table: Table, show: Show) -> str:
    """LaTeX source that a document can \\input, with booktabs; wide tables scaled to the line by graphicx."""
    blocks = [_latex_section(section, show) for section in table.sections]
    pages = [blocks[start : start + FLOATS_AT_ONCE] for start in range(0, len(blocks), FLOATS_AT_ONCE)]
    notes = "".join(f"\\par\\noindent {_latex_escape(note)}\n" for note in table.notes)
    body = "\\clearpage\n".join("\n".join(page) for page in pages)
    lead = "".join(f"\\par\\noindent {_latex_escape(sentence)}\n" for sentence in table.lead)
    return "% needs \\usepackage{booktabs,graphicx}\n" + lead + body + notes


def _latex_section(section: Section, show: Show) -> str:
    spec = "l" * len(section.label_columns) + "r" * len(section.columns)
    head = " & ".join(_latex_escape(name) for name in [*section.label_columns, *section.columns])
    scale = _text_width(section, show) > CHARACTERS_A_LINE
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{_latex_escape(section.title)}}}"]
    lines += [r"\resizebox{\textwidth}{!}{%"] if scale else []
    lines += [rf"\begin{{tabular}}{{{spec}}}", r"\toprule", head + r" \\", r"\midrule"]
    group = section.lines[0].group if section.lines else ""
    for line, cells in zip(section.lines, LATEX.lines(section, show), strict=True):
        if line.group != group:
            lines.append(r"\midrule")
            group = line.group
        lines.append(" & ".join(cells) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}" + ("}" if scale else "")]
    lines += [rf"\par\footnotesize {_latex_escape(note)}" for note in section.notes]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def _text_width(section: Section, show: Show) -> int:
    """Characters of its widest line, blanks between columns included."""
    head = [*section.label_columns, *section.columns]
    body = [[*line.labels, *(number_text(e) + detail_text(e, show) for e in line.entries)] for line in section.lines]
    return sum(2 + max(len(row[i]) for row in [head, *body]) for i in range(len(head)))


def _latex_escape(text: str) -> str:
    """Text that LaTeX prints as it stands."""
    return text.translate(LATEX_ESCAPES)


LATEX = Markup(
    _latex_escape,
    {"best": (r"\textbf{", "}"), "second": (r"\underline{", "}"), "": ("", "")},
    r" {{\scriptsize ({})}}",
    lambda number: number.replace("-", "$-$").replace("+", "$+$"),
)


FORMULA_STARTS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""The last four are the first four in the width of Chinese characters, which some spreadsheets take for them."""


def _csv(table: Table, show: Show) -> str:
    """One table for all sections: fields and labels, then every column that any section has. Values unrounded."""
    fields = _merged_names(section.fields for section in table.sections)
    labels = _merged_names(section.label_columns for section in table.sections)
    columns = _merged_names(section.columns for section in table.sections)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    extra = _csv_extra(show)
    head = [*fields, *labels, *(f"{name}{suffix}" for name in columns for suffix in ["", *extra])]
    writer.writerow(map(csv_text, head))
    for section in table.sections:
        for line in section.lines:
            own = dict(zip(section.label_columns, line.labels, strict=True))
            entries = dict(zip(section.columns, line.entries, strict=True))
            cells = [cell for name in columns for cell in _csv_cells(entries.get(name), extra)]
            said = [*(section.fields.get(f, "") for f in fields), *(own.get(name, "") for name in labels)]
            writer.writerow([*map(csv_text, said), *cells])
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
    value = _csv_number(entry.value) if entry.text is None else csv_text(entry.text)
    return [value, *(_csv_number(known[name]) for name in extra)]


def csv_text(text: str) -> str:
    """Words of a cell, quoted by an apostrophe where a spreadsheet would run them as a formula."""
    return f"'{text}" if text.lstrip().startswith(FORMULA_STARTS) else text


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
    verdict = {"verdict": list(table.lead)} if table.lead else {}
    content = {"format": 1, **verdict, "sections": sections, "notes": list(table.notes)}
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
{% for sentence in lead %}<p>{{ sentence }}</p>
{% endfor -%}
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
        lead=table.lead,
        sections=table.sections,
        notes=table.notes,
        number=number_text,
        detail=lambda entry: detail_text(entry, show),
    )
    return page + "\n"


FORMATS: dict[str, Callable[[Table, Show], str]] = {
    "text": plain_text,
    "markdown": _markdown,
    "csv": _csv,
    "latex": _latex,
    "json": _json,
    "html": _html,
}
