// One row opened: what was asked, what was answered with the matched part marked, which metric decided, tokens, depth.

function detailOf(row) {
  const { question } = row;
  const title = `${label(row.checkpoint)}, ${question.task} at ${question.lengthName}, row ${question.row}`;
  const turn = (by, name) => make("button", { type: "button", class: "quiet", onclick: () => step(by, row.id) }, name);
  const parts = [make("p", { class: "steps" }, turn(-1, "earlier row"), turn(1, "next row")), make("h3", {}, title), make("p", {}, make("span", { class: `outcome ${row.outcome}` }, row.outcome), " ", decided(row))];
  if (row.failure) parts.push(titled("failed in", make("pre", { dir: "auto" }, row.failure)));
  if (question.text) parts.push(titled("question", make("pre", { dir: "auto" }, question.text)));
  if (question.references.length) {
    parts.push(titled(question.references.length > 1 ? "references" : "reference", make("ul", { class: "texts" }, question.references.map((one) => make("li", { dir: "auto" }, one)))));
  }
  if (!row.failure) parts.push(titled("answer", make("pre", { dir: "auto", class: "answer" }, row.text ? marked(row.text, question.references) : "(empty)")));
  if (question.depths.length) parts.push(titled("depth of what is asked for", depthBar(question.depths)));
  parts.push(titled("tokens", tokenBar(row)));
  if (question.prompt) parts.push(titled("prompt", make("pre", { dir: "auto", class: "prompt-text" }, marked(question.prompt, question.references))));
  const facts = [["finish", row.finish], ["seconds", row.seconds], ["protocol", question.protocol], ["document", question.cluster], ["details", question.details]];
  if (question.standIn) facts.push(["text", "generated, in place of a real corpus"]);
  parts.push(make("dl", { class: "facts" }, facts.filter(([, value]) => value !== null && value !== "").map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", { dir: "auto" }, String(value))))));
  const others = BY_QUESTION.get(question).filter((other) => other !== row);
  if (others.length) parts.push(titled("the same question, answered by", make("ul", { class: "texts" }, others.map(otherAnswer))));
  return parts;
}

function titled(name, content) {
  return make("section", {}, make("h4", {}, name), content);
}

/** `by string_match: 1`, and the row's other metrics. */
function decided(row) {
  const others = Object.entries(row.others).map(([name, score]) => `${name} ${JSON.stringify(score)}`);
  const by = row.score === null ? `no score in ${row.metric}` : `by ${row.metric}: ${row.score}`;
  return others.length ? `${by} (also ${others.join(", ")})` : by;
}

/** The answer with every place marked that reads like a reference, whatever its letters' case. */
function marked(text, references) {
  const wanted = references.map((one) => one.trim()).filter(Boolean).sort((a, b) => b.length - a.length);
  if (!wanted.length) return text;
  const pattern = new RegExp(wanted.map((one) => one.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|"), "giu");
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    parts.push(text.slice(end, match.index), make("mark", {}, match[0]));
    end = match.index + match[0].length;
  }
  return [...parts, text.slice(end)];
}

/** Where in the context the asked-for facts stand, its beginning at the left. */
function depthBar(depths) {
  const marks = depths.map((depth) => draw("rect", { x: 2 * depth - 1.5 + 4, y: 1, width: 3, height: 16, class: "needle" }));
  const words = depths.map((depth) => `${depth} %`).join(", ");
  const bar = draw("svg", { viewBox: "0 0 208 18", class: "bar-picture", "aria-hidden": "true" }, draw("rect", { x: 4, y: 5, width: 200, height: 8, class: "room" }), marks);
  return make("p", { class: "barred" }, bar, make("span", {}, words));
}

/** The context: prompt, then answer, then what was left of the budget. */
function tokenBar(row) {
  const [prompt, fresh, budget] = [row.promptTokens ?? 0, row.newTokens ?? 0, row.budget ?? 0];
  const whole = Math.max(row.question.length, prompt + Math.max(fresh, budget), 1);
  const at = (tokens) => 4 + (200 * tokens) / whole;
  const piece = (from, to, name) => draw("rect", { x: at(from), y: 4, width: Math.max(0, at(to) - at(from)), height: 10, class: name });
  const bar = draw("svg", { viewBox: "0 0 208 18", class: "bar-picture", "aria-hidden": "true" },
    draw("rect", { x: 4, y: 4, width: 200, height: 10, class: "room" }), piece(0, prompt, "prompt"), piece(prompt, prompt + Math.max(budget, fresh), "budget"), piece(prompt, prompt + fresh, "fresh"));
  const known = [["prompt", row.promptTokens], ["new", row.newTokens], ["budget", row.budget]].filter(([, count]) => count !== null && count !== undefined);
  const words = known.map(([name, count]) => `${name} ${count.toLocaleString("en")}`);
  if (row.cut) words.push("the prompt was cut");
  return make("p", { class: "barred" }, bar, make("span", {}, words.join(", ") || "not recorded"));
}

function otherAnswer(row) {
  const answer = (row.failure || row.text).trim();
  const said = answer.length > 80 ? `${answer.slice(0, 80)}…` : answer;
  return make("li", {}, make("a", { href: `#row=${row.id}` }, label(row.checkpoint)), " ", make("span", { class: `outcome ${row.outcome}` }, row.outcome), " ", make("span", { dir: "auto" }, said));
}
