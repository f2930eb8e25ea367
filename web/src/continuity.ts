/**
 * Continuity measured in the network's own features: the data term and the edges of the coarse cut.
 *
 * Positions are nodes of a grid, similar where their features are, and confident nodes of foreground and background are
 * the seeds for the others. The grid of the cut has cells, which are smaller than nodes.
 */

import type { ContinuityConstants } from "./constants";
import { resize } from "./interpolate";
import { lab } from "./lab";
import { otsu } from "./otsu";
import type { Kernel } from "./similarity";
import { smooth } from "./smooth";
import type { Features, Grid } from "./types";

const ROUNDING = 1e-5; // of a map's maximum: less than that is what resizing does to a map of one value

/** What a border between neighbors costs: rows x (columns - 1) to the right, (rows - 1) x columns downwards. */
export interface Edges {
  readonly right: Float32Array;
  readonly down: Float32Array;
}

/**
 * The geometric mean of several maps on the cells' grid, between 0 and 1: high where every layer says so.
 *
 * All zeros where they are the same everywhere, up to rounding.
 */
export function seedMap(maps: readonly Grid[], rows: number, columns: number, how: ContinuityConstants): Grid {
  const seed = new Float64Array(rows * columns);
  for (const map of maps) {
    const mean = meanOf(map.data) + 1e-30;
    const resized = resize({ ...map, data: map.data.map((value) => value / mean) }, rows, columns).data;
    const least = resized.map((value) => Math.max(value, 1e-3));
    const middle = meanOf(least);
    least.forEach((value, i) => (seed[i] += Math.log(value / middle + how.floor) / maps.length));
  }
  for (let i = 0; i < seed.length; i++) seed[i] = Math.exp(seed[i]);
  smooth(seed, rows, columns, how.blur, "nearest");
  const [low, high] = range(seed);
  const data = new Float32Array(rows * columns);
  if (high - low > ROUNDING * high) seed.forEach((value, i) => (data[i] = (value - low) / (high - low)));
  return { data, rows, columns };
}

/**
 * The log odds of foreground in each cell, from its own seed value and from the nodes with similar features.
 *
 * The kernel density of confident foreground nodes is divided by that of confident background nodes, twice: the second
 * time, the first result weighs the nodes.
 */
export function logOdds(seed: Grid, kernel: Kernel, rows: number, columns: number, how: ContinuityConstants): Grid {
  const resized = resize(seed, rows, columns).data.map((value) => Math.min(Math.max(value, 0), 1));
  const [, most] = range(resized);
  const share = resized.map((value) => value / (most + 1e-12));
  const even = Math.max(how.level * otsu(seed.data), 1e-3);
  const own = densityRatio(
    kernel,
    share.map((value) => value ** how.sharpness),
    share.map((value) => (1 - value) ** how.sharpness),
  );
  const first = own.map((ratio, i) => {
    const evidence = Math.log(Math.max(share[i], 0.01) / even) + ratio;
    return Math.min(Math.max(how.slope * evidence, -how.clip), how.clip);
  });
  const foreground = first.map((odds) => 1 / (1 + Math.exp(-odds)));
  const others = densityRatio(kernel, foreground, foreground.map((value) => 1 - value));
  const both = { data: first.map((odds, i) => odds + others[i]), rows, columns };
  const odds = resize(both, seed.rows, seed.columns);
  smooth(odds.data, odds.rows, odds.columns, 1, "reflect");
  return odds;
}

/**
 * What a border between neighbor cells costs: less where color (in CIELAB) or features change.
 *
 * `image` has three values per cell, in [0, 1]; `features` lie on the same grid, and null stands for none.
 */
export function continuityEdges(
  image: Float32Array,
  rows: number,
  columns: number,
  features: Features | null,
  edge: number,
): Edges {
  const layers = [{ data: lab(image), channels: 3, step: 1, pixel: 3 }];
  const area = rows * columns;
  if (features !== null) layers.push({ data: features.data, channels: features.channels, step: area, pixel: 1 });
  const right = new Float32Array(rows * (columns - 1));
  const down = new Float32Array((rows - 1) * columns);
  for (const layer of layers) {
    const across = squares(layer, rows, columns - 1, columns, 1);
    const below = squares(layer, rows - 1, columns, columns, columns);
    const mean = (sumOf(across) + sumOf(below)) / area + 1e-9;
    const strength = edge / layers.length;
    for (let i = 0; i < right.length; i++) right[i] += strength * Math.exp(-across[i] / mean);
    for (let i = 0; i < down.length; i++) down[i] += strength * Math.exp(-below[i] / mean);
  }
  return { right, down };
}

/** Values of cells, `channels` of each: those of one cell are `step` apart, and those of neighbor cells `pixel`. */
interface Layer {
  readonly data: Float32Array;
  readonly channels: number;
  readonly step: number;
  readonly pixel: number;
}

/** The squared distance of each cell in rows x columns to the one `ahead` cells later; `width` is the grid's. */
function squares(layer: Layer, rows: number, columns: number, width: number, ahead: number): Float32Array {
  const found = new Float32Array(rows * columns);
  const { data, channels, step, pixel } = layer;
  for (let channel = 0; channel < channels; channel++) {
    for (let y = 0; y < rows; y++) {
      for (let x = 0; x < columns; x++) {
        const at = channel * step + pixel * (y * width + x);
        found[y * columns + x] += (data[at + pixel * ahead] - data[at]) ** 2;
      }
    }
  }
  return found;
}

/** The log ratio of two kernel densities at each node, divided by its root mean square. */
function densityRatio(kernel: Kernel, foreground: Float32Array, background: Float32Array): Float32Array {
  const above = density(kernel, foreground);
  const below = density(kernel, background);
  const ratio = Float32Array.from(above, (value, node) => Math.log(value / below[node]));
  const size = Math.sqrt(ratio.reduce((sum, value) => sum + value * value, 0) / ratio.length) + 1e-9;
  return ratio.map((value) => value / size);
}

/** At each node, the sum of the kernel over all nodes by their share of the weights. */
function density({ data, count }: Kernel, weights: Float32Array): Float64Array {
  const total = sumOf(weights) + 1e-12;
  const found = new Float64Array(count);
  for (let node = 0; node < count; node++) {
    let sum = 0;
    for (let other = 0; other < count; other++) sum += data[node * count + other] * weights[other];
    found[node] = sum / total + 1e-12;
  }
  return found;
}

function sumOf(values: Float32Array): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum;
}

function meanOf(values: Float32Array): number {
  return sumOf(values) / values.length;
}

function range(values: Float32Array | Float64Array): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return [low, high];
}
