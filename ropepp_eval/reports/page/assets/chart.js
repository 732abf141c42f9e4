// One chart: values against a number, with intervals. Drawn to the width at hand; read by pointer or arrow keys.

const DASHES = ["", "7 4", "9 3 2 3", "2 3", "9 3 2 3 2 3", "12 4", "4 3 2 3"];
const EDGES = { left: 46, right: 14, top: 26, bottom: 46 };
const STEP_BESIDE = 15;
const MARKER = 4.5;

/** A mark by which a checkpoint is told from others without colour. */
function marker(number, x, y, size = MARKER) {
  const s = size;
  const shapes = [
    () => draw("circle", { cx: x, cy: y, r: s }),
    () => draw("rect", { x: x - s, y: y - s, width: 2 * s, height: 2 * s }),
    () => draw("path", { d: `M${x} ${y - 1.2 * s}L${x + 1.1 * s} ${y + s}H${x - 1.1 * s}Z` }),
    () => draw("path", { d: `M${x} ${y - 1.4 * s}L${x + 1.2 * s} ${y}L${x} ${y + 1.4 * s}L${x - 1.2 * s} ${y}Z` }),
    () => draw("path", { d: `M${x} ${y + 1.2 * s}L${x + 1.1 * s} ${y - s}H${x - 1.1 * s}Z` }),
    () => draw("path", { d: cross(x, y, s, 0) }),
    () => draw("path", { d: cross(x, y, s, 1) }),
  ];
  const shape = shapes[number % DATA.colours]();
  shape.setAttribute("class", `mark c${number % DATA.colours}${number >= DATA.colours ? " open" : ""}`);
  return shape;
}

function cross(x, y, s, turned) {
  const [a, b] = [1.25 * s, 0.42 * s];
  const corners = [[-b, -a], [b, -a], [b, -b], [a, -b], [a, b], [b, b], [b, a], [-b, a], [-b, b], [-a, b], [-a, -b], [-b, -b]];
  const turn = turned ? Math.SQRT1_2 : 0;
  const at = ([u, v]) => (turned ? `${x + turn * (u - v)} ${y + turn * (u + v)}` : `${x + u} ${y + v}`);
  return `M${corners.map(at).join("L")}Z`;
}

/** A short piece of a checkpoint's line, for legends. */
function swatch(number) {
  const line = draw("path", { d: "M1 7H35", class: `line c${number % DATA.colours}`, "stroke-dasharray": DASHES[number % DATA.colours] });
  return draw("svg", { width: 36, height: 14, viewBox: "0 0 36 14", class: "swatch", "aria-hidden": "true" }, line, marker(number, 18, 7));
}

/** The points of the checkpoints shown, with their numbers, line by line. */
function pointsOf(chart, shown) {
  return chart.lines
    .filter((line) => shown.has(line.checkpoint))
    .map((line) => ({
      ...line,
      points: line.points.map((point) => ({
        ...point, value: numberOf(point.text), from: numberOf(point.low), to: numberOf(point.high), checkpoint: line.checkpoint,
      })),
    }));
}

/** A figure that redraws itself when its room changes. */
function figureOf(chart, shown) {
  const readout = make("p", { class: "readout", "aria-live": "polite" }, "Point at a value, or move with the arrow keys, to read it.");
  const hold = make("div", { class: "canvas" });
  const figure = make("figure", { class: "chart" }, make("figcaption", {}, chart.title), hold, readout);
  const lines = pointsOf(chart, shown);
  const paint = () => hold.replaceChildren(picture(chart, lines, Math.max(280, hold.clientWidth || 720), readout));
  let width = 0;
  new ResizeObserver(() => {
    if (hold.clientWidth === width) return;
    width = hold.clientWidth;
    paint();
  }).observe(hold);
  paint();
  return figure;
}

function picture(chart, lines, width, readout) {
  const height = width < 520 ? 280 : 360;
  const scale = scales(chart, lines, width, height);
  const svg = draw("svg", {
    width, height, viewBox: `0 0 ${width} ${height}`, tabindex: "0", role: "application", "aria-roledescription": "chart",
    "aria-label": `${chart.title}. Arrow keys read the values; the table below holds them all.`,
  });
  svg.append(...axes(chart, scale, width, height));
  const placed = lines.map((line, i) => place(line, lines, i, chart, scale));
  for (const line of placed) svg.append(...drawnLine(line));
  const halo = draw("circle", { r: 10, class: "halo", visibility: "hidden" });
  svg.append(halo);
  listen(svg, placed, chart, halo, readout);
  return svg;
}

function scales(chart, lines, width, height) {
  const xs = chart.ticks.map(([x]) => x);
  const values = lines.flatMap((line) => line.points.flatMap((p) => [p.value, p.from, p.to])).filter((v) => v !== null);
  const [low, high] = chart.percent ? [0, Math.min(100, 10 * Math.max(1, Math.ceil(Math.max(0, ...values) / 10)))] : spread(values);
  const right = width - EDGES.right - 12;
  const left = EDGES.left + 14;
  let across;
  if (chart.logarithmic) {
    const [first, last] = [Math.log2(xs[0]), Math.log2(xs[xs.length - 1])];
    const middle = first === last;
    across = (x) => (middle ? (left + right) / 2 : left + ((Math.log2(x) - first) / (last - first)) * (right - left));
  } else {
    const most = xs[xs.length - 1] * 1.15;
    across = (x) => EDGES.left + (x / most) * (right - EDGES.left);
  }
  const bottom = height - EDGES.bottom;
  return { low, high, across, up: (v) => bottom - ((v - low) / (high - low)) * (bottom - EDGES.top), left: EDGES.left, right: width - EDGES.right, bottom };
}

function spread(values) {
  if (!values.length) return [0, 1];
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const room = (most - least || Math.abs(most) || 1) * 0.08;
  return [least - room, most + room];
}

function steps(low, high) {
  const rough = (high - low) / 5;
  const ten = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((n) => n * ten).find((n) => n >= rough);
  const first = Math.ceil(low / step - 1e-9);
  const count = Math.floor(high / step + 1e-9) - first + 1;
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9) + (step / ten === 2.5 ? 1 : 0));
  return Array.from({ length: count }, (_, i) => [(first + i) * step, ((first + i) * step).toFixed(digits)]);
}

function axes(chart, scale, width, height) {
  const parts = [];
  for (const [value, name] of steps(scale.low, scale.high)) {
    const y = scale.up(value);
    parts.push(draw("path", { d: `M${scale.left} ${y}H${scale.right}`, class: "grid" }));
    parts.push(draw("text", { x: scale.left - 8, y: y + 4, "text-anchor": "end" }, name));
  }
  let free = -Infinity;
  for (const [value, name] of chart.ticks) {
    const x = scale.across(value);
    parts.push(draw("path", { d: `M${x} ${scale.bottom}v5`, class: "tick" }));
    if (x - 4 * name.length < free) continue;
    free = x + 4 * name.length + 6;
    parts.push(draw("text", { x, y: scale.bottom + 18, "text-anchor": "middle" }, name));
  }
  parts.push(draw("path", { d: `M${scale.left} ${scale.bottom}H${scale.right}`, class: "tick" }));
  parts.push(draw("text", { x: (scale.left + scale.right) / 2, y: height - 8, "text-anchor": "middle", class: "axis" }, chart.x_label));
  const middle = (EDGES.top + scale.bottom) / 2;
  parts.push(draw("text", { x: 12, y: middle, "text-anchor": "middle", class: "axis", transform: `rotate(-90 12 ${middle})` }, chart.y_label));
  const inside = ([x]) => scale.across(x) >= scale.left && scale.across(x) <= scale.right;
  for (const [value, name] of chart.marks.filter(inside)) {
    const x = scale.across(value);
    const late = x > width - 130;
    parts.push(draw("path", { d: `M${x} ${EDGES.top - 20}V${scale.bottom}`, class: "trained" }));
    parts.push(draw("text", { x: x + (late ? -5 : 5), y: EDGES.top - 12, "text-anchor": late ? "end" : "start", class: "axis" }, name));
  }
  return parts;
}

/** Where the points of a line stand: lines lie beside each other, so that none hides another. */
function place(line, lines, number, chart, scale) {
  const twins = chart.logarithmic ? lines : lines.filter((other) => other.points[0].x === line.points[0].x);
  const step = chart.logarithmic ? Math.min(4, 16 / twins.length) : STEP_BESIDE;
  const beside = step * (twins.indexOf(line) - (twins.length - 1) / 2);
  const points = line.points.map((point) => ({
    ...point,
    left: scale.across(point.x) + beside,
    top: point.value === null ? null : scale.up(point.value),
    ends: point.from === null ? null : [scale.up(point.from), scale.up(point.to)],
  }));
  return { ...line, points };
}

function drawnLine(line) {
  const number = line.checkpoint;
  const colour = `c${number % DATA.colours}`;
  const parts = [];
  let path = "";
  let broken = true; // a missing value breaks the line
  for (const point of line.points) {
    if (point.top !== null) path += `${broken ? "M" : "L"}${point.left} ${point.top}`;
    broken = point.top === null;
  }
  parts.push(draw("path", { d: path || "M0 0", class: `line ${colour}`, "stroke-dasharray": DASHES[number % DATA.colours] }));
  for (const point of line.points.filter((one) => one.ends)) {
    parts.push(draw("path", { d: `M${point.left} ${point.ends[0]}V${point.ends[1]}`, class: `bar ${colour}` }));
  }
  for (const point of line.points.filter((one) => one.top !== null)) {
    if (point.x === line.ring) parts.push(draw("circle", { cx: point.left, cy: point.top, r: 9, class: `ring ${colour}` }));
    parts.push(marker(number, point.left, point.top));
  }
  return parts;
}

function listen(svg, lines, chart, halo, readout) {
  const rows = lines.map((line) => line.points.filter((point) => point.top !== null)).filter((points) => points.length);
  if (!rows.length) {
    readout.textContent = "No value to show: choose another checkpoint, or see what is missing.";
    return;
  }
  let [row, column] = [0, 0];
  const show = () => {
    const point = rows[row][column];
    halo.setAttribute("cx", point.left);
    halo.setAttribute("cy", point.top);
    halo.setAttribute("visibility", "visible");
    readout.textContent = sentence(chart, point);
  };
  svg.addEventListener("focus", show);
  svg.addEventListener("blur", () => halo.setAttribute("visibility", "hidden"));
  svg.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    row = (row + move[0] + rows.length) % rows.length;
    column = Math.max(0, Math.min(rows[row].length - 1, column + move[1]));
    show();
  });
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    let nearest = Infinity;
    rows.forEach((points, i) => points.forEach((point, j) => {
      const away = (point.left - x) ** 2 + (point.top - y) ** 2;
      if (away < nearest) [nearest, row, column] = [away, i, j];
    }));
    if (nearest < 60 ** 2) show();
  });
}

/** `rope at 2k: 36.7 (95 % interval 21.9 to 54.5), 30 rows`. */
function sentence(chart, point) {
  const at = chart.ticks.find(([x]) => x === point.x)?.[1] ?? String(point.x);
  const where = chart.kind === "cache" ? `${at} KiB a token` : at;
  const range = point.low ? ` (95 % interval ${point.low} to ${point.high})` : "";
  const note = point.note ? `; ${point.note}` : "";
  return `${DATA.checkpoints[point.checkpoint].label} at ${where}: ${point.text}${range}, ${point.rows.toLocaleString("en")} rows${note}`;
}
