// The grid of photos, of which only those in sight are elements of the page.

const GAP = 18, NARROWEST = 168, CAPTION = 58, AHEAD = 2; // pixels, and rows above and below the window
const grid = { element: $("grid"), photos: [], tiles: new Map(), current: 0, columns: 1, width: 0, row: 1 };

grid.show = function (chosen) {
  grid.photos = chosen;
  grid.current = 0;
  grid.measure();
};

grid.measure = function () {
  const width = grid.measured = grid.element.clientWidth;
  grid.columns = Math.max(2, Math.floor((width + GAP) / (NARROWEST + GAP)));
  grid.width = (width - GAP * (grid.columns - 1)) / grid.columns;
  grid.frame = Math.round(grid.width * 0.75);
  grid.row = grid.frame + CAPTION + GAP;
  grid.element.style.height = `${Math.ceil(grid.photos.length / grid.columns) * grid.row}px`;
  for (const tile of grid.tiles.values()) tile.remove();
  grid.tiles.clear();
  grid.draw();
};

grid.draw = function () {
  const top = grid.element.getBoundingClientRect().top;
  const first = Math.max(Math.floor(-top / grid.row) - AHEAD, 0) * grid.columns;
  const end = Math.min((Math.ceil((innerHeight - top) / grid.row) + AHEAD) * grid.columns, grid.photos.length);
  for (const [place, tile] of grid.tiles) {
    if ((place < first || place >= end) && place !== grid.current) {
      tile.remove();
      grid.tiles.delete(place);
    }
  }
  let waiting = false;
  for (let place = first; place < end; place++) {
    const tile = grid.tiles.get(place);
    if (tile && !tile.waiting) continue;
    tile?.remove();
    const made = tileOf(place);
    grid.tiles.set(place, made);
    const after = grid.tiles.get(place - 1); // in the order in which they are read aloud
    if (after) after.after(made); else grid.element.prepend(made);
    waiting ||= made.waiting;
  }
  if (waiting) setTimeout(grid.draw, 60); // until the browser has read so far
};

grid.go = function (place, focus = true) {
  if (!grid.photos.length) return;
  const before = grid.tiles.get(grid.current);
  grid.current = Math.min(Math.max(place, 0), grid.photos.length - 1);
  before?.setAttribute("aria-selected", "false");
  before?.setAttribute("tabindex", "-1");
  const top = grid.element.getBoundingClientRect().top + Math.floor(grid.current / grid.columns) * grid.row;
  const bar = getComputedStyle($("filters")).position === "sticky" ? $("filters").offsetHeight : 0;
  if (top < bar + 8) scrollBy(0, top - bar - 8);
  else if (top + grid.row > innerHeight) scrollBy(0, top + grid.row - innerHeight);
  grid.draw();
  const tile = grid.tiles.get(grid.current);
  tile?.setAttribute("aria-selected", "true");
  tile?.setAttribute("tabindex", "0");
  if (focus) tile?.focus({ preventScroll: true });
};

function tileOf(place) {
  const photo = grid.photos[place], details = detailsOf(photo), isCurrent = place === grid.current;
  const tile = element("div", {
    class: photo.reason === null ? "tile" : "tile failed", role: "option", tabindex: isCurrent ? 0 : -1,
    "aria-selected": isCurrent, "aria-posinset": place + 1, "aria-setsize": grid.photos.length, "aria-label": told(photo),
  }, frameOf(photo, details), ...linesOf(photo));
  tile.style.width = `${grid.width}px`;
  tile.style.transform = `translate(${(place % grid.columns) * (grid.width + GAP)}px, ${Math.floor(place / grid.columns) * grid.row}px)`;
  tile.waiting = details === undefined;
  tile.addEventListener("click", () => { grid.go(place); large.open(place); });
  return tile;
}

function frameOf(photo, details) {
  const frame = element("div", { class: "frame" });
  frame.style.height = `${grid.frame}px`;
  if (photo.reason !== null) frame.append(element("p", {}, photo.reason));
  if (!details) return frame;
  if (details.thumbnail) frame.append(element("img", { src: details.thumbnail, alt: "" }));
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  outlinesOf(svg, photo, details);
  frame.append(svg);
  return frame;
}

// The classes of a photo that its caption has room for, the chosen one first.
function linesOf(photo) {
  const chosen = page.state.class === "" ? null : Number(page.state.class);
  const found = [...photo.found].sort((a, b) => (b.id === chosen) - (a.id === chosen));
  const lines = found.slice(0, photo.differs ? 1 : 2).map((each) => line(photo, each, each.given ? "given" : ""));
  if (photo.differs) lines.push(element("div", { class: "line quiet" }, element("bdi", {}, `predicted ${className(photo.predicted)}`), end(percent(photo.probability))));
  if (!lines.length && photo.reason === null) {
    lines.push(element("div", { class: "line quiet" }, element("bdi", {}, `no object · ${className(photo.predicted)}`), end(percent(photo.probability))));
  }
  const more = found.length - (photo.differs ? 1 : 2);
  if (more > 0) lines.at(-1).lastChild.before(element("span", { class: "quiet" }, `+${more}`));
  const name = element("div", { class: "line quiet", title: photo.name }, ...shortName(photo.name.split("/").at(-1)));
  if (photo.review !== null) name.append(end(`review ${percent(photo.review)}`));
  return [...lines, name];
}

// What a name ends with tells photos apart, so that it is cut in the middle, where it is plain ASCII.
function shortName(name) {
  const cut = /^[ -~]{14,}$/.test(name) ? name.length - 8 : name.length;
  return [element("bdi", {}, name.slice(0, cut)), element("span", { class: "rest" }, name.slice(cut))];
}

function line(photo, each, note) {
  const dot = element("span", { class: "dot" });
  dot.style.background = colorOf(photo, each.id);
  const made = element("div", { class: "line" }, dot, element("bdi", { title: className(each.id) }, className(each.id)));
  if (note) made.append(element("span", { class: "quiet" }, note));
  made.append(end(percent(each.probability)));
  return made;
}

const end = (text) => element("span", { class: "end" }, text);

function told(photo) {
  if (photo.reason !== null) return `${photo.name}, failed: ${photo.reason}`;
  const classes = photo.found.map((each) => `${className(each.id)} ${percent(each.probability)}`).join(", ");
  return `${photo.name}, ${classes || "no object"}, review score ${percent(photo.review)}`;
}
