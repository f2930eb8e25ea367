// Draws a view of `studio/views.py`: the photo, its map, seeds, outlines and boxes. All of it is computed elsewhere.
// `props.mode` is "photo", where a photo can be opened and a place in it chosen, or "boxes", where boxes can be moved.
const find = (name) => element.querySelector(`.di-${name}`);
const stage = find("stage"), shapes = find("shapes"), told = find("told"), empty = find("empty");
const NS = "http://www.w3.org/2000/svg", ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const isPhoto = props.mode === "photo";
let view = null, place = null, dragged = null;

function svg(name, attributes, parent) {
  const made = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  parent.append(made);
  return made;
}

function source(image, address) {
  image.hidden = !address;
  if (address && image.getAttribute("src") !== address) image.src = address;
}

function show() {
  view = props.value;
  const has = Boolean(view && view.photo);
  stage.hidden = !has;
  find("controls").hidden = !has || !isPhoto;
  empty.textContent = has ? "" : (view && view.alt) || props.invitation;
  if (!has) return;
  stage.style.setProperty("--ratio", view.width / view.height);
  find("photo").alt = view.alt;
  source(find("photo"), view.photo);
  source(find("map"), view.map);
  source(find("seeds"), find("show-seeds").checked ? view.seeds : null);
  if (view.link) history.replaceState(null, "", `?${view.link}`);
  draw();
  take();
}

// Sizes of lines and handles are in pixels of the screen, so they depend on how large the photo is shown.
function unit() {
  return view.width / Math.max(stage.clientWidth, 1);
}

function draw() {
  if (!view || !view.photo) return;
  shapes.replaceChildren();
  shapes.setAttribute("viewBox", `0 0 ${view.width} ${view.height}`);
  for (const each of [...view.objects].reverse()) {
    if (each.hidden) continue;
    const group = svg("g", { stroke: each.color, fill: "none" }, shapes);
    if (find("show-outlines").checked && each.path) outlined("path", { d: each.path }, group, 2.2);
    if (find("show-boxes").checked && each.box) drawBox(each, group);
  }
  if (isPhoto && place) cross();
}

function outlined(name, attributes, parent, width) {
  svg(name, { ...attributes, stroke: "white", "stroke-width": width + 2, "vector-effect": "non-scaling-stroke" }, parent);
  return svg(name, { ...attributes, "stroke-width": width, "vector-effect": "non-scaling-stroke" }, parent);
}

function drawBox(each, group) {
  const [x0, y0, x1, y1] = each.box;
  outlined("rect", { x: x0, y: y0, width: x1 - x0, height: y1 - y0 }, group, isPhoto ? 1.2 : 2.2);
  if (view.objects.length > 1) {
    const size = 16 * unit();
    svg("rect", { x: x0, y: y0, width: size, height: size, fill: each.color, stroke: "none" }, group);
    const text = svg("text", { x: x0 + size / 2, y: y0 + size * 0.78, "font-size": size * 0.8, fill: "white", stroke: "none",
      "text-anchor": "middle", "font-weight": 700 }, group);
    text.textContent = each.number;
  }
  if (!isPhoto) for (const corner of [0, 1, 2, 3]) handle(each, corner, group);
}

const NAMES = ["upper left", "upper right", "lower left", "lower right"];

function handle(each, corner, group) {
  const x = each.box[corner % 2 ? 2 : 0], y = each.box[corner < 2 ? 1 : 3];
  const made = svg("circle", { class: "di-handle", cx: x, cy: y, r: 8 * unit(), fill: each.color, stroke: "white",
    "stroke-width": 2, "vector-effect": "non-scaling-stroke", tabindex: 0, role: "button", "data-object": each.number,
    "data-corner": corner, "aria-label": `${NAMES[corner]} corner of box ${each.number}, at ${x}, ${y}; arrow keys move it` },
    group);
  made.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    dragged = { each, corner };
    stage.setPointerCapture(event.pointerId);
  });
  made.addEventListener("keydown", (event) => {
    const step = ARROWS[event.key];
    if (!step) return;
    event.preventDefault();
    const size = event.shiftKey ? 10 : 1;
    move(each, corner, x + size * step[0], y + size * step[1]);
    moved(each);
    shapes.querySelector(`[data-object="${each.number}"][data-corner="${corner}"]`).focus();
  });
}

function move(each, corner, x, y) {
  const box = [...each.box];
  const between = (value, low, high) => Math.round(Math.min(Math.max(value, low), high));
  if (corner % 2) box[2] = between(x, box[0] + 1, view.width);
  else box[0] = between(x, 0, box[2] - 1);
  if (corner < 2) box[1] = between(y, 0, box[3] - 1);
  else box[3] = between(y, box[1] + 1, view.height);
  each.box = box;
  draw();
}

function moved(each) {
  trigger("input", { object: each.number - 1, box: each.box });
}

function at(event) {
  const area = stage.getBoundingClientRect();
  return [((event.clientX - area.left) / area.width) * view.width, ((event.clientY - area.top) / area.height) * view.height];
}

stage.addEventListener("pointermove", (event) => {
  if (dragged) move(dragged.each, dragged.corner, ...at(event));
});
stage.addEventListener("pointerup", () => {
  if (dragged) moved(dragged.each);
  dragged = null;
});

function cross() {
  const [x, y] = place, arm = 12 * unit();
  outlined("path", { d: `M${x - arm},${y}H${x + arm}M${x},${y - arm}V${y + arm}`, stroke: "black" }, svg("g", { stroke: "black" }, shapes), 2);
}

function choose(x, y) {
  place = [Math.min(Math.max(x, 0), view.width - 1), Math.min(Math.max(y, 0), view.height - 1)];
  draw();
}

if (isPhoto) shapes.setAttribute("aria-hidden", "true");
else {
  shapes.setAttribute("role", "group");
  shapes.setAttribute("aria-label", "The boxes of the photo");
}

if (isPhoto) {
  stage.tabIndex = 0;
  stage.setAttribute("role", "group");
  stage.setAttribute("aria-label", "The photo. Click a place, or move the cross with the arrow keys and press Enter, to see what the network's layers see there.");
  stage.addEventListener("click", (event) => {
    choose(...at(event));
    trigger("select", { x: place[0], y: place[1] });
  });
  stage.addEventListener("keydown", (event) => {
    const step = ARROWS[event.key];
    if (step) {
      event.preventDefault();
      const [x, y] = place || [view.width / 2, view.height / 2];
      choose(x + (step[0] * view.width) / 40, y + (step[1] * view.height) / 40);
    } else if (event.key === "Enter" && place) trigger("select", { x: place[0], y: place[1] });
  });
}

function take() {
  const names = { picture: "Picture", mask: "Mask", sheet: "Sheet", coco: "COCO", labelstudio: "Label Studio" };
  const links = Object.entries(view.take || {}).map(([kind, address]) => {
    const link = document.createElement("a");
    link.className = "di-button di-small";
    link.href = address;
    link.download = "";
    link.textContent = names[kind];
    link.dataset.kind = kind;
    return link;
  });
  if (!links.length) return find("take").replaceChildren();
  const copy = document.createElement("button");
  copy.type = "button";
  copy.className = "di-button di-small di-link";
  copy.textContent = "Copy link";
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(location.href);
    told.textContent = "The link is copied. It shows the same as long as the photo is kept here.";
  });
  find("take").replaceChildren("Take along: ", ...links, copy);
}

async function open(file) {
  if (!file) return;
  place = null;
  if (file.size > props.most_bytes) {
    told.textContent = `${file.name}: expected a photo of at most ${props.most_bytes >> 20} MB, got a larger file`;
    return;
  }
  told.textContent = `Opening ${file.name} …`;
  try {
    const answer = await fetch(`studio/photos?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file });
    const { photo, error } = await answer.json();
    told.textContent = error || "";
    if (photo) trigger("upload", { photo });
  } catch {
    told.textContent = `${file.name}: the photo did not reach the server; try it again`;
  }
}

if (isPhoto) {
  find("file").addEventListener("change", (event) => {
    open(event.target.files[0]);
    event.target.value = "";
  });
  element.addEventListener("dragover", (event) => {
    event.preventDefault();
    element.classList.add("di-over");
  });
  element.addEventListener("dragleave", () => element.classList.remove("di-over"));
  element.addEventListener("drop", (event) => {
    event.preventDefault();
    element.classList.remove("di-over");
    open(event.dataTransfer.files[0]);
  });
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files || [])].find((each) => each.type.startsWith("image/"));
    if (file && element.offsetParent) open(file);
  });
} else find("open").hidden = true;

find("opacity").addEventListener("input", (event) => stage.style.setProperty("--opacity", event.target.value / 100));
for (const name of ["show-outlines", "show-boxes"]) find(name).addEventListener("change", draw);
find("show-seeds").addEventListener("change", show);
new ResizeObserver(draw).observe(stage);
watch("value", show);
show();
