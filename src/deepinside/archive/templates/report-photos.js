// The photos, what is known of each, and which of them are shown in which order.

const $ = (id) => document.getElementById(id);
const index = JSON.parse($("index").textContent);
const COLORS = ["#ff8a3c", "#35c8ee", "#ffe14d", "#ff6fb5", "#7ceb6a"]; // of outlines, for the classes of a photo
const BLOCKS_KEPT = 40;

const photos = index.photos.map(([name, review, predicted, probability, found, reason], number) => ({
  number, name, review, predicted, probability, reason: reason === null ? null : index.reasons[reason],
  found: found.map(([id, probability, count, given]) => ({ id, probability, count, given }))
    .sort((a, b) => b.given - a.given || b.probability - a.probability),
}));
for (const photo of photos) {
  photo.differs = photo.found.some((each) => each.given) && !photo.found.some((each) => each.given && each.id === photo.predicted);
}

const className = (id) => index.names[id] ?? `class ${id}`;
const percent = (value) => `${(100 * value).toFixed(value < 0.1 && value > 0 ? 1 : 0)}%`;
const plural = (count, what) => `${count.toLocaleString("en")} ${what}${count === 1 ? "" : "s"}`;
const colorOf = (photo, id) => COLORS[Math.max(photo.found.findIndex((each) => each.id === id), 0) % COLORS.length];

// Details stand in blocks further down the page, each of which is whole once something follows it.
const blocks = new Map();
function detailsOf(photo) {
  const number = Math.floor(photo.number / index.block);
  let block = blocks.get(number);
  if (!block) {
    const element = $(`block${number}`);
    if (!element || !element.nextSibling) return undefined; // the browser has not read so far yet
    block = JSON.parse(element.textContent);
  }
  blocks.delete(number); // and to the end, since the first one is the next to go
  blocks.set(number, block);
  if (blocks.size > BLOCKS_KEPT) blocks.delete(blocks.keys().next().value);
  const details = block[photo.number % index.block];
  if (!details) return null;
  const [width, height, thumbnail, objects, chances, maps, file] = details;
  return {
    width, height, chances, maps, file, thumbnail: thumbnail && `data:image/webp;base64,${thumbnail}`,
    objects: objects.map(([id, number, confidence, x0, y0, x1, y1, given, path]) =>
      ({ id, number, confidence, box: [x0, y0, x1, y1], given, path })),
  };
}

// ------------------------------------------------------------------------------------------------ filters and order

const DEFAULTS = { class: "", sort: "review", show: "", text: "", least: "", most: "", review: "" };
const byName = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
let places; // of the photos in the order of their names, which takes a moment to find

function placeByName(photo) {
  if (!places) {
    places = [];
    [...photos].sort((a, b) => byName.compare(a.name, b.name)).forEach((each, place) => { places[each.number] = place; });
  }
  return places[photo.number];
}

// The probability by which a photo is sorted and filtered: that of the chosen class, or of its first one.
function chanceOf(photo, chosen) {
  const mine = chosen === "" ? photo.found[0] : photo.found.find((each) => each.id === Number(chosen));
  return mine ? mine.probability : photo.probability;
}

const SHOWN = {
  "": () => true, differs: (photo) => photo.differs, failed: (photo) => photo.reason !== null,
  empty: (photo) => photo.reason === null && !photo.found.length,
};

function chosenPhotos(state) {
  const words = state.text.toLowerCase().split(/\s+/).filter(Boolean);
  const [least, most, review] = [state.least, state.most, state.review].map((text) => text === "" ? null : Number(text) / 100);
  const kept = photos.filter((photo) => {
    if (!SHOWN[state.show](photo)) return false;
    if (state.class !== "" && !photo.found.some((each) => each.id === Number(state.class))) return false;
    const chance = chanceOf(photo, state.class);
    if (least !== null && !(chance !== null && chance >= least)) return false;
    if (most !== null && !(chance !== null && chance <= most)) return false;
    if (review !== null && !(photo.review !== null && photo.review >= review)) return false;
    return words.every((word) => textOf(photo).includes(word));
  });
  const rank = (photo) => (photo.reason === null ? 0 : 1); // those that have failed come last
  const chance = (photo) => chanceOf(photo, state.class);
  const name = (photo) => (photo.found.length ? className(photo.found[0].id) : "\uffff");
  const order = {
    review: () => 0, // the photos' own
    class: (a, b) => byName.compare(name(a), name(b)) || chance(b) - chance(a),
    likely: (a, b) => chance(b) - chance(a),
    unlikely: (a, b) => chance(a) - chance(b),
    name: (a, b) => placeByName(a) - placeByName(b),
  }[state.sort];
  return kept.sort((a, b) => (state.sort === "name" ? 0 : rank(a) - rank(b)) || order(a, b) || a.number - b.number);
}

function textOf(photo) {
  photo.text ??= [photo.name, photo.reason ?? "", ...photo.found.map((each) => className(each.id))].join("\n").toLowerCase();
  return photo.text;
}

function countsOfClasses() {
  const counts = new Map();
  for (const photo of photos) for (const each of photo.found) counts.set(each.id, (counts.get(each.id) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1] || byName.compare(className(a[0]), className(b[0])));
}

// -------------------------------------------------------------------------------------------------------- elements

// All text goes into the page as text: nothing that a name holds is read as HTML.
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function outlinesOf(svg, photo, details) {
  const make = (tag, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  };
  const scale = index.units / Math.max(details.width, details.height);
  const [width, height] = [details.width * scale, details.height * scale];
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren();
  if (!details.thumbnail) svg.append(make("rect", { class: "vanished", x: 1, y: 1, width: width - 2, height: height - 2 }));
  for (const each of details.objects) {
    svg.append(make("path", { class: "under", d: each.path }));
    svg.append(make("path", { class: "over", d: each.path, stroke: colorOf(photo, each.id) }));
  }
}
