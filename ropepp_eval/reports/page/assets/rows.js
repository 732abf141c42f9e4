// The list of rows with its filters, page by page, and one row opened beside it. Arrow keys move; the address names the row that is open.

const PAGE_ROWS = 50;
const VIEW = { rows: ROWS, page: 0, sort: null, rising: true, open: null };
const FILTERS = {};
const COLUMNS = ["row", "checkpoint", "task", "length", "depth", "outcome", "score", "answer", "finish"];
const CONTROLS = {};
const VIEW_PARTS = {};

function showRows() {
  const place = byId("row-view");
  if (!ROWS.length) {
    place.append(make("p", {}, "This page holds no row: see above what is missing."));
    return;
  }
  const distinct = (of) => [...new Set(ROWS.map(of))];
  const lengths = new Map(ROWS.map((row) => [row.question.length, row.question.lengthName]));
  const present = distinct((row) => row.outcome);
  const outcomes = DATA.rows.names.outcome.filter((name) => present.includes(name));
  const checkpoints = DATA.checkpoints.map((one) => one.label);
  const offers = {
    checkpoint: checkpoints,
    task: distinct((row) => row.question.task).sort(NATURAL.compare),
    length: [...lengths].sort(([a], [b]) => a - b).map(([, name]) => name),
    depth: ROWS.some((row) => row.question.depths.length) ? Array.from({ length: 10 }, (_, i) => `${10 * i}-${10 * i + 10} %`) : [],
    outcome: ["not right", ...outcomes],
    finish: distinct((row) => row.finish).filter(Boolean).sort(),
    differs: checkpoints.length > 1 ? checkpoints : [],
  };
  const titles = { differs: "differs from" };
  const controls = Object.entries(offers).filter(([, names]) => names.length).map(([name, names]) => {
    const select = chooser(["any", ...names], (number) => setFilter(name, number ? names[number - 1] : ""));
    CONTROLS[name] = { select, names };
    return labelled(titles[name] ?? name, select);
  });
  const search = make("input", { type: "search", placeholder: "words in answers, questions, references" });
  search.addEventListener("input", () => setFilter("text", search.value));
  CONTROLS.text = { search };
  const clear = make("button", { type: "button", class: "quiet", onclick: () => filterRows({}) }, "show all rows");
  VIEW_PARTS.count = make("p", { class: "count", role: "status" });
  VIEW_PARTS.body = make("tbody", {});
  VIEW_PARTS.pages = make("p", { class: "pages" });
  VIEW_PARTS.detail = make("div", { class: "detail", role: "region", "aria-label": "the row that is open", tabindex: "0" },
    make("p", { class: "note" }, "Choose a row to see its question, references, answer and tokens. Up and down move through the rows."));
  const table = make("table", { class: "rows" }, make("caption", { class: "visually-hidden" }, "rows"), make("thead", {}, rowHeadings()), VIEW_PARTS.body);
  table.addEventListener("keydown", moveThroughRows);
  const frame = make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "list of rows" }, table);
  place.append(
    make("form", { class: "filters", onsubmit: (event) => event.preventDefault() }, controls, labelled("text", search, "choice wide"), clear),
    VIEW_PARTS.count,
    make("div", { class: "split" }, make("div", {}, frame, VIEW_PARTS.pages), VIEW_PARTS.detail),
    make("p", { class: "note print-only" }, "Rows are not printed: open the file to walk through them."),
  );
  refilter();
  window.addEventListener("hashchange", openFromAddress);
  openFromAddress();
}

function rowHeadings() {
  VIEW_PARTS.headings = COLUMNS.map((name) => {
    const button = make("button", { type: "button", class: "sort", onclick: () => sortRows(name) }, name);
    return make("th", { scope: "col", class: `col-${name}` }, button);
  });
  return make("tr", {}, VIEW_PARTS.headings);
}

function sortRows(name) {
  VIEW.rising = VIEW.sort === name ? !VIEW.rising : true;
  VIEW.sort = name;
  COLUMNS.forEach((column, i) => {
    const now = column === name ? (VIEW.rising ? "ascending" : "descending") : null;
    if (now) VIEW_PARTS.headings[i].setAttribute("aria-sort", now);
    else VIEW_PARTS.headings[i].removeAttribute("aria-sort");
  });
  refilter();
}

function setFilter(name, value) {
  FILTERS[name] = value;
  refilter();
}

/** Exactly these filters, with the controls showing them, and the list in sight. */
function filterRows(filters) {
  for (const [name, { select, search, names }] of Object.entries(CONTROLS)) {
    FILTERS[name] = filters[name] ?? "";
    if (search) search.value = FILTERS[name];
    else select.value = names.indexOf(FILTERS[name]) + 1;
  }
  refilter();
  byId("rows").scrollIntoView();
}

function refilter() {
  const rows = filtered(FILTERS);
  VIEW.rows = VIEW.sort ? sortedBy(rows, VIEW.sort, VIEW.rising) : rows;
  VIEW.page = 0;
  listRows();
}

function listRows() {
  const first = VIEW.page * PAGE_ROWS;
  const some = VIEW.rows.slice(first, first + PAGE_ROWS);
  VIEW_PARTS.body.replaceChildren(...some.map(listed));
  const wrong = VIEW.rows.filter((row) => WRONG.has(row.outcome)).length;
  const failed = VIEW.rows.filter((row) => TROUBLE.has(row.outcome)).length;
  const words = [`${VIEW.rows.length.toLocaleString("en")} of ${ROWS.length.toLocaleString("en")} rows`];
  if (wrong) words.push(`${wrong.toLocaleString("en")} wrong`);
  if (failed) words.push(`${failed.toLocaleString("en")} failed`);
  VIEW_PARTS.count.textContent = words.join(", ");
  const pages = Math.ceil(VIEW.rows.length / PAGE_ROWS);
  const turn = (by, name) => make("button", { type: "button", class: "quiet", disabled: VIEW.page + by < 0 || VIEW.page + by >= pages, onclick: () => turnPage(by) }, name);
  VIEW_PARTS.pages.replaceChildren(...(pages > 1 ? [turn(-1, "earlier"), ` page ${VIEW.page + 1} of ${pages} `, turn(1, "later")] : []));
}

function turnPage(by) {
  VIEW.page += by;
  listRows();
}

function listed(row) {
  const { question } = row;
  const link = make("a", { href: `#row=${row.id}`, "aria-label": `row ${question.row}, ${label(row.checkpoint)}, ${question.task} at ${question.lengthName}, ${row.outcome}` }, String(question.row));
  const answer = row.failure || row.text.trim();
  const texts = [label(row.checkpoint), question.task, question.lengthName, question.depths.map((depth) => `${depth} %`).slice(0, 3).join(", "),
    make("span", { class: `outcome ${row.outcome}` }, row.outcome), row.score === null ? "" : String(row.score), answer.length > 120 ? `${answer.slice(0, 120)}…` : answer, row.finish];
  const cells = texts.map((text, i) => make("td", { class: `col-${COLUMNS[i + 1]}`, dir: i === 6 ? "auto" : null }, text));
  const line = make("tr", { class: row.id === VIEW.open ? "open" : null, onclick: () => link.click() }, make("th", { scope: "row" }, link), cells);
  link.addEventListener("click", (event) => event.stopPropagation());
  line.dataset.id = row.id;
  return line;
}

function moveThroughRows(event) {
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const line = event.target.closest?.("tbody tr");
  if (!by || !line) return;
  event.preventDefault();
  step(by, line.dataset.id);
}

/** Open the next or the earlier row of the list, on another page too, and give where to go on from the focus. */
function step(by, id) {
  const next = VIEW.rows[VIEW.rows.findIndex((row) => row.id === id) + by];
  if (!next) return;
  const listing = VIEW_PARTS.body.contains(document.activeElement);
  history.replaceState(null, "", `#row=${next.id}`);
  openRow(next);
  const buttons = VIEW_PARTS.detail.querySelectorAll(".steps button");
  (listing ? VIEW_PARTS.body.querySelector(`tr[data-id="${next.id}"] a`) : buttons[by > 0 ? 1 : 0]).focus();
}

function openFromAddress() {
  const match = /^#row=([0-9a-f]+)$/.exec(location.hash);
  if (!match) return;
  const row = BY_ID.get(match[1]);
  if (row) openRow(row, true);
  else VIEW_PARTS.detail.replaceChildren(make("p", { class: "missing" }, "This page does not hold the row that the address names; make it with --rows all."));
  if (!row) byId("rows").scrollIntoView();
}

/** Show a row; the list turns to the page that has it, without its filters where they leave it out. */
function openRow(row, sought = false) {
  VIEW.open = row.id;
  let place = VIEW.rows.indexOf(row);
  if (place < 0) {
    filterRows({});
    place = VIEW.rows.indexOf(row);
  }
  VIEW.page = Math.floor(place / PAGE_ROWS);
  const focused = VIEW_PARTS.body.contains(document.activeElement);
  listRows();
  VIEW_PARTS.detail.replaceChildren(...detailOf(row));
  const link = VIEW_PARTS.body.querySelector(`tr[data-id="${row.id}"] a`);
  if (focused) link.focus({ preventScroll: true });
  const left = (element) => element.getBoundingClientRect().left;
  const narrow = left(VIEW_PARTS.detail) <= left(VIEW_PARTS.body);
  if (sought) (narrow ? VIEW_PARTS.detail : byId("rows")).scrollIntoView({ block: narrow ? "start" : "nearest" });
}
