/** Saves what the page shows. */

import { percent } from "./format";
import { overlayOf, type Shown, type Style } from "./stage";

const LONGEST = 1600; // pixels of the longer side of each photo in a saved view, at most
const GAP = 16;

/** The views side by side, as on the page. */
export function viewOf(shown: readonly Shown[], style: Style): HTMLCanvasElement {
  const { width, height } = shown[0].photo.canvas;
  const less = Math.min(1, LONGEST / Math.max(width, height));
  const [columns, rows] = [Math.round(width * less), Math.round(height * less)];
  const canvas = document.createElement("canvas");
  canvas.width = shown.length * columns + (shown.length - 1) * GAP;
  canvas.height = rows;
  const context = canvas.getContext("2d");
  if (!context) throw new Error("Expected room for a picture of the view, but the browser has none.");
  context.imageSmoothingQuality = "high";
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  shown.forEach((one, k) => {
    context.save();
    context.translate(k * (columns + GAP), 0);
    drawView(context, one, style, columns, rows);
    context.restore();
  });
  return canvas;
}

function drawView(context: CanvasRenderingContext2D, shown: Shown, style: Style, width: number, height: number): void {
  context.drawImage(shown.photo.canvas, 0, 0, width, height);
  if (shown.saliency) {
    context.globalAlpha = style.opacity;
    context.drawImage(overlayOf(shown.saliency, style.mode), 0, 0, width, height);
    context.globalAlpha = 1;
  }
  const x = width / shown.photo.picture.width;
  const y = height / shown.photo.picture.height;
  const unit = Math.max(1, Math.max(width, height) / 500);
  for (const { path, box, confidence } of shown.objects ?? []) {
    const lines = new Path2D();
    if (style.outlines) lines.addPath(new Path2D(path), new DOMMatrix([x, 0, 0, y, 0, 0]));
    if (style.boxes) lines.rect(box.x0 * x, box.y0 * y, (box.x1 - box.x0) * x, (box.y1 - box.y0) * y);
    for (const [color, weight] of [["#000000aa", 2.6], ["#ffffff", 1.2]] as const) {
      context.strokeStyle = color;
      context.lineWidth = weight * unit;
      context.stroke(lines);
    }
    if (style.boxes) label(context, percent(confidence), box.x0 * x, box.y0 * y, 11 * unit);
  }
  label(context, shown.title, 8 * unit, height - 26 * unit, 13 * unit);
}

/** Text on a dark ground, from its upper left corner. */
function label(context: CanvasRenderingContext2D, text: string, x: number, y: number, size: number): void {
  context.font = `600 ${size}px system-ui, sans-serif`;
  context.textBaseline = "top";
  context.fillStyle = "#000000bb";
  context.fillRect(x, y, context.measureText(text).width + 0.8 * size, 1.5 * size);
  context.fillStyle = "#ffffff";
  context.fillText(text, x + 0.4 * size, y + 0.28 * size);
}

/** Hands a file to the visitor. */
export function save(content: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
