/** The photo with what the network looked at: one view, or two side by side. */

import type { Grid } from "../types";
import { heat, light, TABLE, type Overlay } from "./colors";
import type { Photo } from "./decode";
import { byId, element, shape } from "./elements";
import { percent } from "./format";
import type { Outlined } from "./protocol";

export type Mode = "heat" | "light";

/** What one view shows. */
export interface Shown {
  readonly photo: Photo;
  readonly title: string;
  readonly saliency: Grid | null;
  readonly objects: readonly Outlined[] | null; // null: not known yet
}

/** How both views show it. */
export interface Style {
  readonly mode: Mode;
  readonly opacity: number; // from 0 to 1
  readonly outlines: boolean;
  readonly boxes: boolean;
}

const LONGEST = 2048; // pixels of the longer side of a photo as it is shown, at most
const overlays = new WeakMap<Grid, Partial<Record<Mode, HTMLCanvasElement>>>();

/** Shows one photo, with one class or two. The first view is always there. */
export function show(first: Shown, second: Shown | null, style: Style): void {
  byId("second-view").hidden = second === null;
  byId("stage").classList.toggle("dark", style.mode === "light");
  fill("", first, style);
  if (second) fill("second-", second, style);
}

/** Draws a photo into both views and, blurred, behind them. */
export function showPhoto(photo: Photo): void {
  const { width, height } = photo.canvas;
  const less = Math.min(1, LONGEST / Math.max(width, height));
  for (const id of ["photo", "second-photo"]) {
    const canvas = byId<HTMLCanvasElement>(id);
    canvas.width = Math.max(1, Math.round(width * less));
    canvas.height = Math.max(1, Math.round(height * less));
    draw(canvas, photo.canvas);
    canvas.setAttribute("aria-label", `Photo ${photo.name}`);
  }
  document.body.classList.add("photo");
  byId("stage").style.setProperty("--ratio", String(width / height));
  draw(byId<HTMLCanvasElement>("glow"), photo.canvas);
}

function draw(canvas: HTMLCanvasElement, image: CanvasImageSource): void {
  const context = canvas.getContext("2d");
  if (!context) return;
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
}

/** The scale of the heat, for the legend. */
export function drawLegend(): void {
  const canvas = byId<HTMLCanvasElement>("legend");
  const pixels = new ImageData(256, 1);
  for (let step = 0; step < 256; step++) {
    pixels.data.set(TABLE.subarray(3 * step, 3 * step + 3), 4 * step);
    pixels.data[4 * step + 3] = 255;
  }
  canvas.getContext("2d")?.putImageData(pixels, 0, 0);
}

function fill(prefix: string, shown: Shown, style: Style): void {
  const canvas = byId<HTMLCanvasElement>(`${prefix}saliency`);
  const overlay = shown.saliency && overlayOf(shown.saliency, style.mode);
  canvas.width = overlay?.width ?? 1;
  canvas.height = overlay?.height ?? 1;
  if (overlay) canvas.getContext("2d")?.drawImage(overlay, 0, 0);
  canvas.style.opacity = overlay ? String(style.opacity) : "0";
  byId(`${prefix}caption`).textContent = shown.title;
  outline(byId<SVGElement>(`${prefix}outlines`), shown, style);
  tag(byId(`${prefix}tags`), shown, style);
}

/** The saliency as a picture of its own size, which the browser enlarges smoothly. */
export function overlayOf(grid: Grid, mode: Mode): HTMLCanvasElement {
  const known = overlays.get(grid) ?? {};
  overlays.set(grid, known);
  return (known[mode] ??= canvasOf(mode === "heat" ? heat(grid) : light(grid)));
}

function canvasOf({ data, width, height }: Overlay): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d")?.putImageData(new ImageData(data, width, height), 0, 0);
  return canvas;
}

/** Outlines and boxes, each twice: a dark line below a light one is seen on every photo. */
function outline(svg: SVGElement, { photo, objects }: Shown, style: Style): void {
  svg.setAttribute("viewBox", `0 0 ${photo.picture.width} ${photo.picture.height}`);
  svg.replaceChildren();
  (objects ?? []).forEach(({ box, path }, k) => {
    const group = shape("g", { "data-object": k + 1 });
    const [x, y, width, height] = [box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0];
    for (const name of ["below", "above"]) {
      if (style.boxes) group.append(shape("rect", { class: `box ${name}`, x, y, width, height }));
      if (style.outlines) group.append(shape("path", { class: `line ${name}`, d: path }));
    }
    svg.append(group);
  });
}

/** The number and the confidence of each object, at the corner of its box. */
function tag(list: HTMLElement, { photo, objects }: Shown, style: Style): void {
  list.replaceChildren();
  if (!style.boxes) return;
  (objects ?? []).forEach(({ box, confidence }, k) => {
    const made = element("span", `${k + 1} · ${percent(confidence)}`);
    made.dataset.object = String(k + 1);
    made.style.left = `${(100 * box.x0) / photo.picture.width}%`;
    made.style.top = `${(100 * box.y0) / photo.picture.height}%`;
    list.append(made);
  });
}

/** Marks one object in the first view, or none. */
export function mark(number: number | null): void {
  for (const part of document.querySelectorAll<HTMLElement | SVGElement>("#first-view [data-object]")) {
    part.classList.toggle("marked", part.dataset.object === String(number));
  }
}
