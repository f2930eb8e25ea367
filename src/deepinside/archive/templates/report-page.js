// What is chosen, which the address of the page remembers, and the keys.

const page = { state: { ...DEFAULTS } };
const CONTROLS = ["text", "sort", "show", "least", "most", "review"];

page.read = function () {
  const said = new URLSearchParams(location.hash.slice(1));
  const state = Object.fromEntries(Object.entries(DEFAULTS).map(([name, value]) => [name, said.get(name) ?? value]));
  if (!(state.show in SHOWN)) state.show = "";
  if (![...$("sort").options].some((option) => option.value === state.sort)) state.sort = DEFAULTS.sort;
  if (state.class !== "" && !(state.class in index.names)) state.class = "";
  page.state = state;
  for (const name of CONTROLS) $(name).value = state[name];
};

page.address = function (state) {
  const told = new URLSearchParams(Object.entries(state).filter(([name, value]) => value !== DEFAULTS[name]));
  return `#${told}`;
};

page.draw = function () {
  const { state } = page, chosen = chosenPhotos(state);
  $("heading").textContent = state.class === "" ? "All classes" : className(state.class);
  $("count").textContent = chosen.length === photos.length ? plural(photos.length, "photo")
    : `${chosen.length.toLocaleString("en")} of ${plural(photos.length, "photo")}`;
  for (const link of $("classes").querySelectorAll("a")) {
    link.href = page.address({ ...state, class: link.dataset.class });
    if (link.dataset.class === state.class) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  $("none").hidden = chosen.length > 0;
  grid.show(chosen);
};

page.listClasses = function () {
  const line = (id, name, count) => element("li", {}, element("a", { "data-class": id },
    element("bdi", {}, name), element("span", {}, count.toLocaleString("en"))));
  const lines = countsOfClasses().map(([id, count]) => line(id, className(id), count));
  $("classes").replaceChildren(line("", "All classes", photos.length), ...lines);
};

page.changed = function () {
  for (const name of CONTROLS) page.state[name] = $(name).value;
  history.replaceState(null, "", page.address(page.state));
  page.draw();
};

// ------------------------------------------------------------------------------------------------------------- keys

const STEPS = {
  ArrowRight: () => 1, ArrowLeft: () => -1, j: () => 1, k: () => -1,
  ArrowDown: () => (large.element.open ? 1 : grid.columns), ArrowUp: () => (large.element.open ? -1 : -grid.columns),
  PageDown: () => grid.columns * Math.max(Math.floor(innerHeight / grid.row), 1),
  PageUp: () => -grid.columns * Math.max(Math.floor(innerHeight / grid.row), 1),
  Home: () => -Infinity, End: () => Infinity,
};

function pressed(event) {
  const { key, target } = event;
  const isTyping = target.matches("input, select, textarea");
  if (event.ctrlKey || event.metaKey || event.altKey || $("keys").open) return;
  if (isTyping) {
    if (key === "Escape" || (key === "Enter" && target.matches("input"))) { target.blur(); event.preventDefault(); grid.go(grid.current); }
    return;
  }
  if (key === "?") $("keys").showModal();
  else if (key === "/" && !large.element.open) { $("text").focus(); $("text").select(); }
  else if (key in STEPS) step(key);
  else if (large.element.open && key === "h") { large.heat = !large.heat; large.toggles(); }
  else if (large.element.open && key === "o") { large.outlines = !large.outlines; large.toggles(); }
  else if (large.element.open && key === "c") large.nextClass();
  else if ((key === "Enter" || key === " ") && !target.matches("button, a, summary")) {
    if (large.element.open) large.close();
    else if (grid.photos.length) large.open(grid.current);
  } else return;
  event.preventDefault();
}

function step(key) {
  const by = STEPS[key](), last = grid.photos.length - 1;
  if (large.element.open) { if (Math.abs(by) === 1) large.step(by); return; }
  // The first key marks the photo that is current already, unless it has the focus.
  const isAway = !grid.element.contains(document.activeElement);
  grid.go(isAway && Number.isFinite(by) ? grid.current : Math.min(Math.max(grid.current + by, 0), last));
}

// ------------------------------------------------------------------------------------------------------------ begin

for (const name of CONTROLS) $(name).addEventListener("input", page.changed);
$("filters").addEventListener("submit", (event) => event.preventDefault());
$("help").addEventListener("click", () => $("keys").showModal());
$("previous").addEventListener("click", () => large.step(-1));
$("next").addEventListener("click", () => large.step(1));
$("close").addEventListener("click", large.close);
$("show-heat").addEventListener("click", () => { large.heat = !large.heat; large.toggles(); });
$("show-outlines").addEventListener("click", () => { large.outlines = !large.outlines; large.toggles(); });
document.addEventListener("keydown", pressed);
addEventListener("hashchange", () => { page.read(); page.draw(); scrollTo(0, 0); });
let isDue = false;
addEventListener("scroll", () => {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => { isDue = false; grid.draw(); });
}, { passive: true });
new ResizeObserver(() => {
  document.documentElement.style.setProperty("--bar", `${$("filters").offsetHeight}px`);
  if (grid.element.clientWidth !== grid.measured) grid.measure();
}).observe(document.body);
if (matchMedia("(max-width: 46rem)").matches) $("choices").open = false;
const hasNone = { differs: !photos.some((each) => each.differs), empty: !photos.some(SHOWN.empty), failed: !photos.some(SHOWN.failed) };
for (const option of $("show").options) option.hidden = hasNone[option.value] ?? false;
page.listClasses();
page.read();
page.draw();
