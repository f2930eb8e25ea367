/** From a file to pixels. */

import type { Picture } from "../types";

const MOST_PIXELS = 16e6; // phones refuse larger canvases

/** A photo of a visitor. */
export interface Photo {
  readonly name: string;
  readonly canvas: HTMLCanvasElement; // to show
  readonly picture: Picture; // to compute with
  readonly width: number; // pixels of the file
  readonly height: number;
}

/** Decodes a photo: upright, with its colors as they are stored, and transparency on white. Throws for other files. */
export async function decode(file: Blob, name: string): Promise<Photo> {
  const bitmap = await bitmapOf(file, name);
  const { width, height } = bitmap;
  const less = Math.min(1, Math.sqrt(MOST_PIXELS / (width * height)));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.floor(width * less));
  canvas.height = Math.max(1, Math.floor(height * less));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error("Expected a browser that draws on canvases, but it has no room for this photo.");
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  return { name, canvas, picture: { data: opaque(data), width: canvas.width, height: canvas.height }, width, height };
}

async function bitmapOf(file: Blob, name: string): Promise<ImageBitmap> {
  try {
    return await createImageBitmap(file, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  } catch {
    throw new Error(`Expected a photo, got ${name || "a file"}, which this browser cannot read as one.`);
  }
}

/** The colors alone, 3 bytes per pixel. */
export function opaque(data: ArrayLike<number>): Uint8Array<ArrayBuffer> {
  const colors = new Uint8Array((data.length / 4) * 3);
  for (let from = 0, to = 0; from < data.length; from += 4, to += 3) {
    colors[to] = data[from];
    colors[to + 1] = data[from + 1];
    colors[to + 2] = data[from + 2];
  }
  return colors;
}
