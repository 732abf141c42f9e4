"""A table in LaTeX, with booktabs; wide ones scaled to the line by graphicx."""

from __future__ import annotations

from ropepp_eval.reports.table import Entry, Section, Show, Table, detail_text, number_text

LATEX_MARKS = {"best": (r"\textbf{", "}"), "second": (r"\underline{", "}"), "": ("", "")}
LATEX_ESCAPES = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "\n": " ",
}  # fmt: skip


def latex_escape(text: str) -> str:
    """Text that LaTeX prints as it stands."""
    return "".join(LATEX_ESCAPES.get(character, character) for character in text)


FLOATS_AT_ONCE = 12
"""LaTeX keeps only some tables that it has not placed yet (18 in older ones), then stops; so these are placed first."""
CHARACTERS_A_LINE = 85
"""A table wider than this is scaled down to the text's width, which a page of 10 pt holds otherwise."""


def latex(table: Table, show: Show) -> str:
    """The table as LaTeX source that a document can \\input."""
    blocks = [_latex_section(section, show) for section in table.sections]
    pages = [blocks[start : start + FLOATS_AT_ONCE] for start in range(0, len(blocks), FLOATS_AT_ONCE)]
    notes = "".join(f"\\par\\noindent {latex_escape(note)}\n" for note in table.notes)
    body = "\\clearpage\n".join("\n".join(page) for page in pages)
    return "% needs \\usepackage{booktabs,graphicx}\n" + body + notes


def _latex_section(section: Section, show: Show) -> str:
    spec = "l" * len(section.label_columns) + "r" * len(section.columns)
    head = " & ".join(latex_escape(name) for name in [*section.label_columns, *section.columns])
    scale = _text_width(section, show) > CHARACTERS_A_LINE
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{latex_escape(section.title)}}}"]
    lines += [r"\resizebox{\textwidth}{!}{%"] if scale else []
    lines += [rf"\begin{{tabular}}{{{spec}}}", r"\toprule", head + r" \\", r"\midrule"]
    group = section.lines[0].group if section.lines else ""
    for line in section.lines:
        if line.group != group:
            lines.append(r"\midrule")
            group = line.group
        cells = [latex_escape(label) for label in line.labels] + [_latex_entry(entry, show) for entry in line.entries]
        lines.append(" & ".join(cells) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}" + ("}" if scale else "")]
    lines += [rf"\par\footnotesize {latex_escape(note)}" for note in section.notes]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def _text_width(section: Section, show: Show) -> int:
    """Characters of its widest line, blanks between columns included."""
    head = [*section.label_columns, *section.columns]
    body = [[*line.labels, *(number_text(e) + detail_text(e, show) for e in line.entries)] for line in section.lines]
    return sum(2 + max(len(row[i]) for row in [head, *body]) for i in range(len(head)))


def _latex_entry(entry: Entry, show: Show) -> str:
    before, after = LATEX_MARKS[entry.mark]
    text = number_text(entry)
    text = text.replace("-", "$-$").replace("+", "$+$") if entry.text is None else latex_escape(text)
    detail = latex_escape(detail_text(entry, show))
    return (f"{before}{text}{after}" if text else "") + (rf" {{\scriptsize ({detail})}}" if detail else "")
