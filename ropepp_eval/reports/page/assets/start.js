// Everything is drawn once, in the order of the page.

const THEMES = ["light", "dark"];

function startTheme() {
  const button = byId("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const now = () => document.documentElement.dataset.theme ?? THEMES[Number(dark.matches)];
  const name = () => (button.textContent = `${THEMES[Number(now() === "light")]} colours`);
  button.hidden = false;
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = THEMES[Number(now() === "light")];
    name();
  });
  dark.addEventListener("change", name);
  name();
}

/** While a run goes on: load the file again, with every choice as it was, until a reader stops it. */
function startReloading() {
  const box = byId("reloading");
  if (!box) return;
  const controls = () => [...document.querySelectorAll("select, input")].filter((one) => one !== box);
  const kept = JSON.parse(sessionStorage.getItem("choices") ?? "[]");
  const now = controls();
  if (kept.length === now.length) now.forEach((control, i) => restore(control, kept[i]));
  document.documentElement.dataset.theme = sessionStorage.getItem("theme") ?? "";
  setInterval(() => {
    if (!box.checked) return;
    sessionStorage.setItem("choices", JSON.stringify(controls().map(stateOf)));
    sessionStorage.setItem("theme", document.documentElement.dataset.theme ?? "");
    location.reload();
  }, 1000 * DATA.reload_seconds);
}

function stateOf(control) {
  if (control.type === "checkbox") return control.checked;
  return control.options ? control.options[control.selectedIndex].text : control.value;
}

function restore(control, state) {
  if (stateOf(control) === state) return;
  if (control.type === "checkbox") control.checked = state;
  else if (control.options) control.selectedIndex = Math.max(0, [...control.options].findIndex((option) => option.text === state));
  else control.value = state;
  control.dispatchEvent(new Event(control.type === "search" ? "input" : "change"));
}

for (const frame of document.querySelectorAll(".scroll")) makeUsable(frame.querySelector("table"), frame);
startTheme();
showSwitches();
showScores();
showPairs();
showRows();
startReloading();
