// One photo in large: its objects, its classes with their probabilities, and the saliency of one of them.

const large = { element: $("large"), place: 0, chosen: null, heat: false, outlines: true };
const SHADES = [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]]; // of matplotlib's "inferno"

large.open = function (place) {
  large.place = place;
  large.chosen = null;
  if (!large.element.open) {
    large.element.showModal();
    large.element.focus(); // and no button, which the space bar would press
  }
  large.draw();
};

large.close = function () {
  if (large.element.open) large.element.close();
};
large.element.addEventListener("close", () => grid.go(large.place));

large.step = function (by) {
  const place = large.place + by;
  if (place < 0 || place >= grid.photos.length) return;
  large.open(place);
};

large.draw = function () {
  const photo = grid.photos[large.place], details = detailsOf(photo);
  if (details === undefined) setTimeout(() => large.element.open && grid.photos[large.place] === photo && large.draw(), 60);
  $("position").textContent = `${(large.place + 1).toLocaleString("en")} of ${grid.photos.length.toLocaleString("en")}`;
  $("previous").disabled = large.place === 0;
  $("next").disabled = large.place === grid.photos.length - 1;
  $("name").textContent = photo.name;
  $("facts").textContent = photo.reason !== null ? "failed"
    : [details && `${details.width} × ${details.height} pixels`, `review score ${percent(photo.review)}`].filter(Boolean).join(" · ");
  $("missing").textContent = photo.reason ?? "The photo is not where it was, or cannot be read any more.";
  $("missing").hidden = photo.reason === null && !(details && !details.thumbnail);
  large.element.classList.toggle("is-failed", photo.reason !== null);
  for (const id of ["photo", "outlines", "show-heat", "show-outlines", "chances", "objects"]) $(id).toggleAttribute("hidden", !details);
  $("heat").hidden = true;
  if (!details) return;
  large.chosen ??= photo.found.find((each) => details.maps[each.id])?.id ?? null;
  drawPhoto(photo, details);
  outlinesOf($("outlines"), photo, details);
  drawTables(photo, details);
  large.toggles(details);
};

large.toggles = function (details = detailsOf(grid.photos[large.place])) {
  if (!details) return;
  $("outlines").toggleAttribute("hidden", !large.outlines);
  $("show-outlines").setAttribute("aria-pressed", large.outlines);
  $("show-heat").setAttribute("aria-pressed", large.heat);
  $("show-heat").disabled = large.chosen === null;
  $("heat").hidden = !large.heat || large.chosen === null;
  if (!$("heat").hidden) drawHeat(details, details.maps[large.chosen]);
};

large.choose = function (id) {
  large.chosen = id;
  large.heat = true;
  large.draw();
};

large.nextClass = function () {
  const photo = grid.photos[large.place], details = detailsOf(photo);
  const classes = photo.found.map((each) => each.id).filter((id) => details?.maps[id]);
  if (classes.length) large.choose(classes[(classes.indexOf(large.chosen) + (large.heat ? 1 : 0)) % classes.length]);
};

// The thumbnail first, and the photo itself where it can be reached.
function drawPhoto(photo, details) {
  const shown = $("photo");
  shown.hidden = !details.thumbnail;
  shown.alt = photo.name;
  if (!details.thumbnail) return shown.removeAttribute("src");
  shown.src = details.thumbnail;
  shown.dataset.of = photo.number;
  const whole = new Image();
  whole.onload = () => { if (shown.dataset.of === String(photo.number)) shown.src = whole.src; };
  whole.src = details.file;
}

function drawHeat(details, map) {
  const canvas = $("heat"), small = new Image();
  canvas.dataset.map = map;
  small.onload = () => {
    if (canvas.dataset.map !== map) return;
    const cells = element("canvas", { width: small.width, height: small.height });
    const context = cells.getContext("2d");
    context.drawImage(small, 0, 0);
    const pixels = context.getImageData(0, 0, small.width, small.height);
    for (let at = 0; at < pixels.data.length; at += 4) {
      const value = pixels.data[at] / 255, place = value * (SHADES.length - 1), low = Math.min(Math.floor(place), SHADES.length - 2);
      for (let channel = 0; channel < 3; channel++) {
        pixels.data[at + channel] = SHADES[low][channel] + (place - low) * (SHADES[low + 1][channel] - SHADES[low][channel]);
      }
      pixels.data[at + 3] = 230 * value ** 0.7;
    }
    context.putImageData(pixels, 0, 0);
    const scale = index.units / Math.max(details.width, details.height);
    canvas.width = Math.max(Math.round(details.width * scale), 1);
    canvas.height = Math.max(Math.round(details.height * scale), 1);
    const target = canvas.getContext("2d");
    target.imageSmoothingQuality = "high";
    target.drawImage(cells, 0, 0, canvas.width, canvas.height);
  };
  small.src = `data:image/webp;base64,${map}`;
}

function drawTables(photo, details) {
  const found = new Map(photo.found.map((each) => [each.id, each]));
  const chances = new Map([...photo.found.map((each) => [each.id, each.probability]), ...details.chances]);
  const rows = [...chances].sort((a, b) => b[1] - a[1]).map(([id, chance]) => {
    const each = found.get(id), row = element("tr", id === large.chosen ? { class: "chosen" } : {});
    const dot = element("span", { class: "dot" }), name = element("bdi", {}, className(id));
    dot.style.visibility = each ? "visible" : "hidden";
    dot.style.background = colorOf(photo, id);
    const button = each && element("button", { type: "button", title: "Show its heatmap" }, name);
    button?.addEventListener("click", () => large.choose(id));
    const note = each?.given ? "given" : id === photo.predicted && photo.differs ? "predicted" : "";
    row.append(element("td", {}, dot), element("td", {}, button ?? name), element("td", { class: "quiet" }, note),
      element("td", { class: "number" }, percent(chance)));
    return row;
  });
  $("chances").replaceChildren(element("caption", {}, "Classes and their probabilities"), element("tbody", {}, ...rows));
  const head = element("tr", {}, ...["", "Object", "Confidence", "Box: x, y to x, y"].map((text, column) => element("th", column > 1 ? { class: "number" } : {}, text)));
  const objects = details.objects.map((each) => {
    const dot = element("span", { class: "dot" }), [x0, y0, x1, y1] = each.box;
    dot.style.background = colorOf(photo, each.id);
    const name = `${className(each.id).split(",")[0]}${(found.get(each.id)?.count ?? 1) > 1 ? ` ${each.number}` : ""}`;
    return element("tr", {}, element("td", {}, dot), element("td", {}, element("bdi", {}, name)),
      element("td", { class: "number" }, percent(each.confidence)), element("td", { class: "number" }, `${x0}, ${y0} to ${x1}, ${y1}`));
  });
  $("objects").hidden = !objects.length;
  $("objects").replaceChildren(element("thead", {}, head), element("tbody", {}, ...objects));
}
