/** How saliency becomes visible: as heat over the photo, or as light that leaves the rest of it in the dark. */

import type { Grid } from "../types";

const BRIGHTEST = 0.99; // the scale ends at this quantile of the positive values, since a few pixels are far stronger
const STEPS = 256;
const DARKEST = 0.22; // lightness of the first color of the table, in Oklab
const LIGHTEST = 0.97;

/** A picture with opacity, 4 bytes per pixel. */
export interface Overlay {
  readonly data: Uint8ClampedArray<ArrayBuffer>;
  readonly width: number;
  readonly height: number;
}

/** The values, from 0 to 1: 1 from the 99th percentile of the positive ones on. */
export function normalized(grid: Grid): Float32Array {
  const positive = grid.data.filter((value) => value > 0).sort();
  const top = positive.length > 0 ? quantile(positive, BRIGHTEST) : 1;
  return grid.data.map((value) => Math.min(1, Math.max(0, value / top)));
}

/** A quantile of sorted values, linear between neighbors. */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  const place = (sorted.length - 1) * share;
  const low = Math.floor(place);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (sorted[high] - sorted[low]) * (place - low);
}

/** 256 colors from night blue over red to pale yellow, in equal steps of lightness in Oklab: 3 bytes each. */
export const TABLE: Uint8Array = table();

function table(): Uint8Array {
  const colors = new Uint8Array(3 * STEPS);
  for (let step = 0; step < STEPS; step++) {
    const share = step / (STEPS - 1);
    const lightness = DARKEST + (LIGHTEST - DARKEST) * share;
    const hue = ((290 + 180 * share) * Math.PI) / 180; // violet, magenta, red, orange, yellow
    const chroma = 0.19 * Math.sin(Math.PI * (0.1 + 0.82 * share)) ** 0.7;
    colors.set(shown(lightness, chroma, hue), 3 * step);
  }
  return colors;
}

/** A color of Oklab in sRGB; less colorful until a screen can show it. */
function shown(lightness: number, chroma: number, hue: number): [number, number, number] {
  let rgb: number[] = [];
  for (let less = 1; less > 0; less -= 0.02) {
    rgb = linear(lightness, less * chroma * Math.cos(hue), less * chroma * Math.sin(hue));
    if (rgb.every((value) => value > -1e-3 && value < 1.001)) break;
  }
  return rgb.map((value) => Math.round(255 * gamma(Math.min(1, Math.max(0, value))))) as [number, number, number];
}

/** Oklab to linear sRGB (Ottosson, 2020). */
function linear(lightness: number, a: number, b: number): number[] {
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ];
}

function gamma(value: number): number {
  return value <= 0.0031308 ? 12.92 * value : 1.055 * value ** (1 / 2.4) - 0.055;
}

/** Saliency in the colors of the table, the more opaque the stronger it is; blurred by a pixel, since it flickers. */
export function heat(grid: Grid): Overlay {
  const values = normalized(blurred(grid, 1));
  const data = new Uint8ClampedArray(4 * values.length);
  values.forEach((value, pixel) => {
    const step = 3 * Math.round(value * (STEPS - 1));
    data.set(TABLE.subarray(step, step + 3), 4 * pixel);
    data[4 * pixel + 3] = 255 * Math.min(1, 1.4 * value ** 1.5);
  });
  return { data, width: grid.columns, height: grid.rows };
}

/** Night, except where the network looked: black, the more opaque the weaker the saliency around a pixel. */
export function light(grid: Grid): Overlay {
  const soft = blurred(grid, Math.max(1, Math.round(Math.max(grid.rows, grid.columns) / 40)));
  const usual = quantile(soft.data.slice().sort(), 0.5); // what half of the photo stays below is night
  const values = normalized({ ...soft, data: soft.data.map((value) => value - usual) });
  const data = new Uint8ClampedArray(4 * values.length);
  values.forEach((value, pixel) => (data[4 * pixel + 3] = 255 * (1 - value) ** 1.4));
  return { data, width: grid.columns, height: grid.rows };
}

/** A grid blurred by three box filters, which is nearly a Gaussian; at the rim, by those of its values that exist. */
export function blurred(grid: Grid, radius: number): Grid {
  let data = grid.data;
  for (let time = 0; time < 3; time++) {
    data = boxed(data, grid.rows, grid.columns, grid.columns, 1, radius);
    data = boxed(data, grid.columns, grid.rows, 1, grid.columns, radius);
  }
  return { ...grid, data };
}

/** The mean along lines: `lines` of them, `across` apart, of `count` values `along` apart. */
function boxed(data: Float32Array, lines: number, count: number, across: number, along: number, radius: number): Float32Array {
  const out = new Float32Array(data.length);
  for (let line = 0; line < lines; line++) {
    const at = (n: number): number => line * across + n * along;
    let sum = 0;
    for (let n = 0; n < Math.min(radius, count); n++) sum += data[at(n)];
    for (let n = 0; n < count; n++) {
      if (n + radius < count) sum += data[at(n + radius)];
      if (n - radius - 1 >= 0) sum -= data[at(n - radius - 1)];
      out[at(n)] = sum / (Math.min(count - 1, n + radius) - Math.max(0, n - radius) + 1);
    }
  }
  return out;
}
