// Charts with their tables, and the maps of tasks by length and of depth by length.

const SHOWN = new Set(DATA.checkpoints.map((_, number) => number));
const REDRAWN = [];

function label(number) {
  return DATA.checkpoints[number].label;
}

/** Switches for checkpoints: the legend of every chart. */
function showSwitches() {
  const field = byId("shown");
  DATA.checkpoints.forEach((one, number) => {
    const box = make("input", { type: "checkbox", checked: true });
    box.addEventListener("change", () => {
      if (box.checked) SHOWN.add(number);
      else SHOWN.delete(number);
      REDRAWN.forEach((redraw) => redraw());
    });
    field.append(make("label", {}, box, swatch(number), one.label));
  });
}

/** A part with a heading, a choice where there are several things to show, and what `content(number)` gives for the chosen one. */
function part(place, title, explained, names, content) {
  if (!names.length) return;
  const hold = make("div", {});
  let chosen = 0;
  const redraw = () => hold.replaceChildren(...content(chosen));
  const select = chooser(names, (number) => {
    chosen = number;
    redraw();
  });
  REDRAWN.push(redraw);
  byId(place).append(title && make("h3", {}, title), make("p", { class: "note" }, explained), names.length > 1 ? labelled("show", select) : "", hold);
  redraw();
}

function showScores() {
  const of = (kind) => DATA.charts.filter((chart) => chart.kind === kind);
  const named = (charts) => charts.map((chart) => (new Set(charts.map((one) => one.group)).size > 1 ? `${chart.name} (${chart.group})` : chart.name));
  const drawn = (charts, table) => (number) => [
    figureOf(charts[number], SHOWN), framed(table(charts[number])), ...charts[number].notes.map((note) => make("p", { class: "note" }, note)),
  ];
  const lengths = of("lengths");
  part("charts", "Score against length", "Bars: 95 % intervals. Dotted: trained length. Ring: effective length, within 10 points of the shortest.",
    named(lengths), drawn(lengths, valueTable));
  const groups = [...new Set(lengths.map((chart) => chart.group))];
  part("charts", "Tasks by length", "The stronger the colour, the higher the value.", groups, (number) => [heatTable(lengths.filter((chart) => chart.group === groups[number]))]);
  const positions = of("positions");
  part("charts", "Loss by position", "Mean loss of tokens by how much stands before them; bars: 95 % intervals.", named(positions), drawn(positions, valueTable));
  const caches = of("cache");
  part("charts", "Cache against score", "Equal sizes stand side by side; bars: 95 % intervals.", named(caches), drawn(caches, cacheTable));
  if (!DATA.charts.length) byId("charts").append(make("p", {}, "No cell has a value by length yet; what is missing is said above."));
  const depths = DATA.depths;
  part("depths", "", "Depth 0 % is the beginning of the context; n: rows.", depths.map((one) => one.name), (number) => depthTables(depths[number]));
}

function ranged(point) {
  return point.low ? `${point.text} (${point.low} to ${point.high})` : point.text;
}

function valueTable(chart) {
  const columns = [{ name: "checkpoint", head: true }, ...chart.ticks.map(([, name]) => ({ name })), { name: "rows" }];
  const lines = chart.lines.filter((line) => SHOWN.has(line.checkpoint)).map((line) => {
    const at = new Map(line.points.map((point) => [point.x, point]));
    const values = chart.ticks.map(([x]) => (at.has(x) ? ranged(at.get(x)) : ""));
    const rows = Math.max(...line.points.map((p) => p.rows), 0);
    const total = chart.kind === "positions" ? rows : line.points.reduce((sum, p) => sum + p.rows, 0);
    return [label(line.checkpoint), ...values, total.toLocaleString("en")];
  });
  return tableOf(`${chart.title}; in brackets 95 % intervals`, columns, lines);
}

function cacheTable(chart) {
  const columns = [{ name: "checkpoint", head: true }, { name: "KiB a token" }, { name: "value" }, { name: "low" }, { name: "high" }, { name: "rows" }];
  const lines = chart.lines.filter((line) => SHOWN.has(line.checkpoint)).map(({ checkpoint, points: [point] }) => [
    label(checkpoint), String(point.x), point.text, point.low, point.high, point.rows.toLocaleString("en"),
  ]);
  return tableOf(chart.title, columns, lines);
}

/** Tasks by length of each checkpoint shown. */
function heatTable(charts) {
  const ticks = [...new Map(charts.flatMap((chart) => chart.ticks)).entries()].sort(([a], [b]) => a - b);
  const shade = shader(charts.flatMap((chart) => chart.lines.flatMap((line) => line.points.map((p) => numberOf(p.text)))), charts[0].percent);
  const columns = [{ name: "checkpoint", head: true }, { name: "task", look: "text" }, ...ticks.map(([, name]) => ({ name }))];
  const shown = [...SHOWN].sort((a, b) => a - b).flatMap((number) =>
    charts.map((chart) => [number, chart, chart.lines.find((line) => line.checkpoint === number)]).filter(([, , line]) => line));
  const lines = shown.map(([number, chart, line]) => {
    const at = new Map(line.points.map((point) => [point.x, point.text]));
    return [label(number), chart.name, ...ticks.map(([x]) => at.get(x) ?? "")];
  });
  const table = tableOf(charts[0].group, columns, lines);
  [...table.tBodies[0].rows].forEach((row, i) => {
    if (i && shown[i][0] !== shown[i - 1][0]) row.classList.add("first");
    for (const cell of [...row.cells].slice(2)) shade(cell, numberOf(cell.textContent));
  });
  return framed(table);
}

/** One table a checkpoint: depths by length. */
function depthTables(one) {
  const shade = shader(one.maps.flatMap((map) => map.boxes.flat().map(([text]) => numberOf(text))), one.percent);
  const tables = one.maps.filter((map) => SHOWN.has(map.checkpoint)).map((map) => {
    const columns = [{ name: "depth", head: true }, ...one.lengths.map((name) => ({ name }))];
    const content = ([text, rows]) => (rows ? make("span", {}, text, " ", make("small", {}, `(n ${rows})`)) : "");
    const table = tableOf(label(map.checkpoint), columns, map.boxes.map((boxes, i) => [one.depths[i], ...boxes.map(content)]));
    [...table.tBodies[0].rows].forEach((row, i) => map.boxes[i].forEach(([text], j) => shade(row.cells[j + 1], numberOf(text))));
    return framed(table);
  });
  const tiles = make("div", { class: "tiles" }, tables);
  tiles.style.setProperty("--tile", `${5.5 + 4 * one.lengths.length}rem`);
  return [make("p", { class: "heading" }, one.title), tiles];
}

/** Shades a cell by its value: percent from 0 to 100, others over their own range. */
function shader(values, percent) {
  const known = values.filter((value) => value !== null);
  const [low, high] = percent ? [0, 100] : [Math.min(...known), Math.max(...known)];
  return (cell, value) => {
    if (value === null) return;
    cell.classList.add("heat");
    cell.style.setProperty("--share", `${(100 * (value - low)) / (high - low || 1)}%`);
  };
}
