// Any two checkpoints: sentences, and every common place with its difference drawn beside its numbers.

const FOREST = { width: 160, height: 24, edge: 8 };

function showPairs() {
  const place = byId("pairs");
  if (!place) return;
  const names = DATA.checkpoints.map((one) => one.label);
  const hold = make("div", {});
  let [first, second] = [0, 1];
  const redraw = () => hold.replaceChildren(...comparison(first, second));
  const one = chooser(names, (number) => { first = number; redraw(); }, first);
  const other = chooser(names, (number) => { second = number; redraw(); }, second);
  place.append(make("div", { class: "choices" }, labelled("compare", one), labelled("against", other)), hold);
  redraw();
}

function comparison(first, second) {
  if (first === second) return [make("p", {}, "Choose two different checkpoints.")];
  const turned = first > second;
  const pair = DATA.pairs.find((one) => one.first === Math.min(first, second) && one.second === Math.max(first, second));
  if (pair.refused) return [make("p", { class: "missing" }, pair.refused)];
  const parts = [make("ul", { class: "verdict" }, pair.sentences.map((said) => make("li", {}, said)))];
  for (const [average, title] of [[true, "averages of cells that both have"], [false, "cells"]]) {
    const lines = pair.lines.filter((line) => line.average === average).map((line) => (turned ? turnedLine(line) : line));
    if (lines.length) parts.push(framed(forestTable(`${label(first)} against ${label(second)}: ${title}`, lines, first, second)));
  }
  const meaning = `difference: ${label(first)} minus ${label(second)}; the dot and bar show it with its 95 % interval, the line is no difference`;
  parts.push(make("p", { class: "note" }, meaning), ...pair.notes.slice(1).map((note) => make("p", { class: "note" }, note)));
  return parts;
}

/** The same place with the two checkpoints changed over. */
function turnedLine(line) {
  const [one, other, difference, low, high, ...p] = line.numbers;
  return { ...line, numbers: [other, one, negated(difference), negated(high), negated(low), ...p], better: -line.better };
}

function negated(text) {
  const signs = { "+": "-", "-": "+" };
  return signs[text[0]] ? signs[text[0]] + text.slice(1) : text;
}

function forestTable(caption, lines, first, second) {
  const documents = lines.some((line) => line.documents < line.rows);
  const protocols = new Set(lines.map((line) => line.protocol)).size > 1;
  const columns = [
    { name: "what", head: true }, { name: "length" }, { name: "difference" }, { name: "95 % interval", look: "middle" }, { name: "low" }, { name: "high" },
    { name: "p (Holm)" }, { name: "finding", look: "text" }, { name: label(first), look: "name" }, { name: label(second), look: "name" }, { name: "p" }, { name: "test", look: "text" },
    { name: "rows" }, ...(documents ? [{ name: "documents" }] : []), { name: "unpaired" }, { name: "rows that differ" },
  ];
  const limits = new Map([true, false].map((percent) => [percent, furthest(lines.filter((line) => line.percent === percent))]));
  const body = lines.map((line) => {
    const [one, other, difference, low, high, p, adjusted] = line.numbers;
    const finding = line.better ? `${label(line.better > 0 ? first : second)} better` : line.finding;
    return [
      protocols ? `${line.what} (${line.protocol})` : line.what, line.length, difference, forest(line, limits.get(line.percent)), low, high,
      adjusted, finding, one, other, p, line.method, String(line.rows), ...(documents ? [String(line.documents)] : []), String(line.unpaired),
      differing(line, first, second),
    ];
  });
  const table = tableOf(caption, columns, body);
  table.classList.add("places");
  for (const [i, line] of lines.entries()) {
    const cell = table.tBodies[0].rows[i].cells[3];
    cell.dataset.key = cell.dataset.copy = line.numbers[2];
    if (line.better) table.tBodies[0].rows[i].classList.add("better");
  }
  return table;
}

function furthest(lines) {
  const ends = lines.flatMap((line) => line.numbers.slice(2, 5).map(numberOf)).filter((value) => value !== null);
  return Math.max(1e-9, ...ends.map(Math.abs));
}

function forest(line, limit) {
  const [value, low, high] = line.numbers.slice(2, 5).map(numberOf);
  const { width, height, edge } = FOREST;
  const at = (number) => width / 2 + (number / limit) * (width / 2 - edge);
  const parts = [draw("path", { d: `M${width / 2} 0V${height}`, class: "zero" })];
  if (low !== null) parts.push(draw("path", { d: `M${at(low)} ${height / 2}H${at(high)}`, class: "reach" }));
  if (value !== null) parts.push(draw("circle", { cx: at(value), cy: height / 2, r: 4.5, class: line.better ? "estimate sure" : "estimate" }));
  return draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, class: "forest", "aria-hidden": "true" }, parts);
}

/** How many rows differ; of a cell a link to them. */
function differing(line, first, second) {
  if (line.average || !line.differing) return String(line.differing);
  const go = () => filterRows({ checkpoint: label(first), differs: label(second), task: line.what, length: line.length });
  return make("button", { type: "button", class: "link", onclick: go, "aria-label": `show the ${line.differing} rows of ${line.what} at ${line.length} that differ` }, String(line.differing));
}
