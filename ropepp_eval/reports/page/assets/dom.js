// Elements are made from names and text only: nothing that stands in a row is ever read as HTML.

const DATA = JSON.parse(document.getElementById("data").textContent);
const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes, properties that begin with "on" as listeners, and children (nodes or text; null is left out). */
function make(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same for pictures. */
function draw(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

function byId(id) {
  return document.getElementById(id);
}

/** A control with its label, in one element. */
function labelled(name, control, look = "choice") {
  control.id = `control-${(labelled.count = (labelled.count ?? 0) + 1)}`;
  return make("div", { class: look }, make("label", { for: control.id }, name), control);
}

/** A choice of texts; `chosen` is called with the number of the one taken. */
function chooser(options, chosen, start = 0) {
  const select = make("select", {}, ...options.map((text, number) => make("option", { value: number }, text)));
  select.value = start;
  select.addEventListener("change", () => chosen(Number(select.value)));
  return select;
}

/** Tell those who listen instead of look. */
function say(text) {
  byId("said").textContent = text;
}

/** The number that a printed one stands for; null where there is none. */
function numberOf(text) {
  const number = parseFloat(text.replace(/^</, "").replace(/,/g, ""));
  return Number.isFinite(number) ? number : null;
}
