// The rows that the page holds, and which of them a filter lets through. Columns become one object a row, made once.

const ROWS = rowsOfPage();
const BY_QUESTION = Map.groupBy(ROWS, (row) => row.question);
const BY_ID = new Map(ROWS.map((row) => [row.id, row]));
const TROUBLE = new Set(["failed", "unscored"]);
const WRONG = new Set(["wrong", "partly"]);

function rowsOfPage() {
  const { names, questions: asked, answers } = DATA.rows;
  const count = answers.id?.length ?? 0;
  const questions = Array.from({ length: asked.row?.length ?? 0 }, (_, i) => ({
    task: names.task[asked.task[i]], protocol: names.protocol[asked.protocol[i]], length: asked.length[i], lengthName: asked.length_name[i],
    row: asked.row[i], text: asked.text[i], references: asked.references[i], depths: asked.depths[i], details: asked.details[i],
    prompt: asked.prompt[i], standIn: Boolean(asked.stand_in[i]), cluster: asked.cluster[i],
  }));
  return Array.from({ length: count }, (_, i) => ({
    question: questions[answers.question[i]], checkpoint: answers.checkpoint[i], id: answers.id[i], outcome: names.outcome[answers.outcome[i]],
    metric: names.metric[answers.metric[i]], score: answers.score[i], others: answers.others[i] || {}, text: answers.text[i],
    finish: names.finish[answers.finish[i]], promptTokens: answers.prompt_tokens[i], newTokens: answers.new_tokens[i], budget: answers.budget[i],
    cut: Boolean(answers.cut[i]), seconds: answers.seconds[i], failure: answers.failure[i],
  }));
}

/** What a filter of each name asks of a row; an empty value asks nothing. */
const TESTS = {
  checkpoint: (value) => (row) => label(row.checkpoint) === value,
  task: (value) => (row) => row.question.task === value,
  length: (value) => (row) => row.question.lengthName === value,
  depth: (value) => {
    const from = parseInt(value, 10);
    return (row) => row.question.depths.some((depth) => depth >= from && (depth < from + 10 || from === 90));
  },
  outcome: (value) => {
    const wanted = value === "not right" ? (row) => WRONG.has(row.outcome) || TROUBLE.has(row.outcome) : (row) => row.outcome === value;
    return wanted;
  },
  finish: (value) => (row) => row.finish === value,
  differs: (value) => (row) => BY_QUESTION.get(row.question).some((other) => label(other.checkpoint) === value && other.score !== row.score),
  text: (value) => {
    const wanted = value.toLowerCase();
    return (row) => searched(row).includes(wanted);
  },
};

function searched(row) {
  row.searched ??= [row.text, row.failure, row.question.text, ...row.question.references].join("\n").toLowerCase();
  return row.searched;
}

function filtered(filters) {
  const tests = Object.entries(filters).filter(([, value]) => value).map(([name, value]) => TESTS[name](value));
  return ROWS.filter((row) => tests.every((test) => test(row)));
}

/** What a row is sorted by under each heading. */
const KEYS = {
  row: (row) => row.question.row, checkpoint: (row) => row.checkpoint, task: (row) => row.question.task, length: (row) => row.question.length,
  depth: (row) => row.question.depths[0] ?? -1, outcome: (row) => DATA.rows.names.outcome.indexOf(row.outcome), score: (row) => row.score ?? -1,
  finish: (row) => row.finish, answer: (row) => row.text,
};

function sortedBy(rows, name, rising) {
  const key = KEYS[name];
  const order = (a, b) => (typeof a === "number" ? a - b : NATURAL.compare(a, b));
  const keyed = rows.map((row) => [key(row), row]);
  return keyed.sort(([a], [b]) => (rising ? 1 : -1) * order(a, b)).map(([, row]) => row);
}
