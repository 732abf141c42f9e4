// Every table can be sorted by a click on a heading and copied as CSV, Markdown or LaTeX.

/** A table of texts. `columns`: {name, head (a heading of its line), look (`text`, `middle`)}; `lines`: arrays of texts or nodes. */
function tableOf(caption, columns, lines) {
  const cell = (content, column) =>
    column.head ? make("th", { scope: "row" }, content) : make("td", { class: column.look }, content);
  return make(
    "table",
    { class: "plain" },
    make("caption", {}, caption),
    make("thead", {}, make("tr", {}, columns.map((column) => make("th", { scope: "col", class: column.look }, column.name)))),
    make("tbody", {}, lines.map((line) => make("tr", {}, line.map((content, i) => cell(content, columns[i]))))),
  );
}

/** A table in a frame that scrolls where the page is narrow. */
function framed(table) {
  const name = table.caption.textContent;
  const frame = make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": name }, table);
  makeUsable(table, frame);
  return make("div", { class: "framed" }, frame);
}

/** Headings become buttons that sort, and buttons that copy stand below. */
function makeUsable(table, frame) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = make("button", { type: "button", class: "sort" }, ...heading.childNodes);
    button.addEventListener("click", () => sortBy(table, headings, column));
    heading.replaceChildren(button);
  });
  const copies = Object.entries(FORMATS).map(([name, format]) =>
    make("button", { type: "button", class: "link", "aria-label": `copy ${table.caption.textContent} as ${name}`, onclick: () => copy(format(textsOf(table)), name) }, name),
  );
  queueMicrotask(() => frame.after(make("p", { class: "copies" }, "headings sort; copy as", copies)));
}

function sortBy(table, headings, column) {
  const rising = headings[column].getAttribute("aria-sort") !== "ascending";
  headings.forEach((heading) => heading.removeAttribute("aria-sort"));
  headings[column].setAttribute("aria-sort", rising ? "ascending" : "descending");
  const key = (row) => row.cells[column].dataset.key ?? row.cells[column].textContent;
  const rows = [...table.tBodies[0].rows].map((row) => [key(row), row]);
  rows.sort(([a], [b]) => (rising ? 1 : -1) * inOrder(a, b));
  table.tBodies[0].append(...rows.map(([, row]) => row));
  say(`sorted by ${headings[column].textContent}, ${rising ? "rising" : "falling"}`);
}

const NATURAL = new Intl.Collator("en", { numeric: true });

/** Numbers by value, lengths such as 4k in tokens, texts naturally; what is empty comes first. */
function inOrder(a, b) {
  const [x, y] = [amount(a), amount(b)];
  if (x !== null && y !== null) return x - y;
  return NATURAL.compare(a, b);
}

function amount(text) {
  const match = /^<?([+-]?[\d,]*\.?\d+)(k?)(?: .*)?$/.exec(text.trim());
  return match ? Number(match[1].replace(/,/g, "")) * (match[2] ? 1024 : 1) : null;
}

/** Caption, head and lines of a table as they stand, in texts. */
function textsOf(table) {
  const lines = [...table.rows].map((row) => [...row.cells].map((cell) => (cell.dataset.copy ?? cell.textContent).trim()));
  const labels = [...(table.tBodies[0].rows[0]?.cells ?? [])].map((cell) => cell.matches("th, .text"));
  return { caption: table.caption.textContent, head: lines[0], lines: lines.slice(1), labels };
}

const FORMATS = {
  CSV: ({ head, lines }) => [head, ...lines].map((line) => line.map(csvCell).join(",")).join("\n") + "\n",
  Markdown({ caption, head, lines, labels }) {
    const escaped = (text) => text.replace(/[\\`*_|<>[\]]/g, "\\$&").replace(/\n/g, " ");
    const line = (cells) => `| ${cells.join(" | ")} |`;
    const rules = head.map((_, i) => (labels[i] ? "---" : "---:"));
    const body = lines.map((cells) => line(cells.map(escaped)));
    return [`**${escaped(caption)}**`, "", line(head.map(escaped)), line(rules), ...body].join("\n") + "\n";
  },
  LaTeX({ caption, head, lines, labels }) {
    const line = (cells) => `${cells.map(latexEscaped).join(" & ")} \\\\`;
    const columns = head.map((_, i) => (labels[i] ? "l" : "r")).join("");
    return [
      "% needs \\usepackage{booktabs}", "\\begin{table}", "\\centering", `\\caption{${latexEscaped(caption)}}`,
      `\\begin{tabular}{${columns}}`, "\\toprule", line(head), "\\midrule", ...lines.map(line), "\\bottomrule",
      "\\end{tabular}", "\\end{table}",
    ].join("\n") + "\n";
  },
};

/** A cell that begins like a formula gets an apostrophe, unless it is a number. */
function csvCell(text) {
  const safe = /^\s*[=+\-@＝＋－＠]/.test(text) && !/^[+-]?[\d.]+$/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function latexEscaped(text) {
  const named = { "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "<": "\\textless{}", ">": "\\textgreater{}" };
  return text.replace(/[\\&%$#_{}~^<>\n]/g, (c) => named[c] ?? (c === "\n" ? " " : `\\${c}`));
}

/** Onto the clipboard; a page opened from disk may not be let near it, then the text is shown to be copied by hand. */
async function copy(text, name) {
  try {
    await navigator.clipboard.writeText(text);
    say(`copied as ${name}`);
  } catch {
    showText(text, name);
  }
}

function showText(text, name) {
  const area = make("textarea", { readonly: true, rows: "16", "aria-label": `the table as ${name}` });
  area.value = text;
  const close = make("button", { type: "button", onclick: () => box.close() }, "close");
  const box = make("dialog", { "aria-label": `copy as ${name}`, onclose: () => box.remove() }, area, close);
  document.body.append(box);
  box.showModal();
  area.select();
}
