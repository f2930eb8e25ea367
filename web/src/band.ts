/** The band around the outline of a mask, its pixels as nodes of a graph, and masks at half and twice the size. */

import { DOWN, FAR, type Graph, LEFT, RIGHT, UP } from "./flow";
import type { Mask } from "./types";

/** The free pixels of a mask: n of them, in reading order, and of the n + 2 nodes the four neighbors of each. */
export interface Packed {
  readonly pixels: Int32Array; // flat indices
  readonly neighbors: Int32Array; // as in `Graph`
}

/** The pixels with a neighbor of the other label. */
export function outlineOf({ data, rows, columns }: Mask): Mask {
  const found = new Uint8Array(data.length);
  for (let y = 0, i = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++, i++) {
      if (x + 1 < columns && data[i] !== data[i + 1]) found[i] = found[i + 1] = 1;
      if (y + 1 < rows && data[i] !== data[i + columns]) found[i] = found[i + columns] = 1;
    }
  }
  return { data: found, rows, columns };
}

/**
 * The pixels nearer than `radius` pixels to one of the seeds, in exact Euclidean distance.
 *
 * The vertical distance of each pixel to the seeds of its column says how far to the sides it reaches.
 */
export function near(seeds: Mask, radius: number): Mask {
  const { data, rows, columns } = seeds;
  if (radius <= 1) return { data: radius > 0 ? data.slice() : new Uint8Array(data.length), rows, columns };
  const limit = Math.min(Math.ceil(radius), rows); // a column reaches no pixel from there on
  const reach = Int32Array.from({ length: limit + 1 }, (_, distance) =>
    distance === limit ? -1 : reachAt(distance, Math.min(radius, rows + columns), columns),
  );
  const vertical = distancesInColumns(seeds, limit);
  const found = new Uint8Array(data.length);
  for (let y = 0; y < rows; y++) {
    const [first, last] = [y * columns, (y + 1) * columns - 1];
    let rest = -1;
    for (let i = first; i <= last; i++) {
      rest = Math.max(rest - 1, reach[vertical[i]]);
      if (rest >= 0) found[i] = 1;
    }
    rest = -1;
    for (let i = last; i >= first; i--) {
      rest = Math.max(rest - 1, reach[vertical[i]]);
      if (rest >= 0) found[i] = 1;
    }
  }
  return { data: found, rows, columns };
}

/** How many pixels to the side of a pixel at a vertical distance of a seed are nearer to it than `radius`. */
function reachAt(distance: number, radius: number, columns: number): number {
  let side = Math.min(Math.ceil(Math.sqrt(Math.max(radius * radius - distance * distance, 0))), columns);
  while (Math.sqrt(side * side + distance * distance) >= radius) side--;
  return side;
}

/** The distance of each pixel to the nearest seed of its column, at most `limit`. */
function distancesInColumns({ data, rows, columns }: Mask, limit: number): Int32Array {
  const found = new Int32Array(data.length);
  for (let i = 0; i < found.length; i++) {
    const above = i < columns ? limit : found[i - columns] + 1;
    found[i] = data[i] ? 0 : Math.min(above, limit);
  }
  for (let i = (rows - 1) * columns - 1; i >= 0; i--) found[i] = Math.min(found[i], found[i + columns] + 1);
  return found;
}

/** The free pixels as nodes; see `Graph`. */
export function pack({ data, columns }: Mask): Packed {
  const nodes = new Int32Array(data.length);
  let count = 0;
  for (let i = 0; i < data.length; i++) if (data[i]) nodes[i] = ++count;
  const pixels = new Int32Array(count);
  const neighbors = new Int32Array(4 * (count + 2));
  for (let i = 0; i < data.length; i++) {
    const node = nodes[i];
    if (node === 0) continue;
    pixels[node - 1] = i;
    const left = i % columns > 0 ? nodes[i - 1] : 0;
    const up = i >= columns ? nodes[i - columns] : 0;
    if (left > 0) {
      neighbors[4 * node + LEFT] = left;
      neighbors[4 * left + RIGHT] = node;
    }
    if (up > 0) {
      neighbors[4 * node + UP] = up;
      neighbors[4 * up + DOWN] = node;
    }
  }
  return { pixels, neighbors };
}

/** What the free pixels and their borders cost, in units: `edges` has four per pixel, one per direction. */
export interface Costs {
  readonly terminal: Int32Array; // of labeling a pixel background, above that of foreground
  readonly edges: Int32Array;
}

/**
 * The graph of the free pixels; edges to fixed pixels of `mask` are added to the excess.
 *
 * Excess beyond what a pixel's edges can carry is cut off. Where the sum of excess still exceeds `limit`, all is
 * divided by a power of two, whose exponent is returned as well.
 */
export function graphOf(packed: Packed, costs: Costs, mask: Mask, limit: number): Graph & { readonly shift: number } {
  const { pixels, neighbors } = packed;
  const { terminal, edges } = costs;
  const moves = movesOf(mask);
  const own = new Float64Array(pixels.length);
  const capacities = new Int32Array(neighbors.length);
  const excess = new Int32Array(pixels.length + 2);
  let total = 0;
  for (let p = 0; p < pixels.length; p++) {
    own[p] = terminal[p];
    let out = 0;
    for (let k = 0; k < 4; k++) {
      const capacity = edges[4 * p + k];
      if (neighbors[4 * p + 4 + k] > 0) out += capacities[4 * p + 4 + k] = capacity;
      else if (capacity > 0) own[p] += mask.data[pixels[p] + moves[k]] ? capacity : -capacity;
    }
    total += Math.min(Math.abs(own[p]), out + 1);
  }
  let shift = 0;
  while (Math.floor(total / 2 ** shift) > limit) shift++;
  const half = (1 << shift) >> 1;
  for (let p = 0; p < pixels.length; p++) {
    let out = 0;
    for (let at = 4 * p + 4; at < 4 * p + 8; at++) out += capacities[at] = (capacities[at] + half) >> shift;
    const amount = Math.min(Math.floor((Math.abs(own[p]) + half) / 2 ** shift), out + 1); // one more fixes a label
    excess[p + 1] = own[p] > 0 ? -amount : amount;
  }
  return { neighbors, capacities, excess, shift };
}

/** A mask with the free pixels set where they can reach a deficit. */
export function labeled(mask: Mask, pixels: Int32Array, distances: Int32Array): Mask {
  const data = mask.data.slice();
  for (let p = 0; p < pixels.length; p++) data[pixels[p]] = distances[p + 1] < FAR ? 1 : 0;
  return { ...mask, data };
}

/** The energy of a mask in units: the free pixels and the edges that end at one, each edge once. */
export function unitsOf({ pixels, neighbors }: Packed, { terminal, edges }: Costs, mask: Mask): number {
  const moves = movesOf(mask);
  let total = 0;
  for (let p = 0; p < pixels.length; p++) {
    const own = mask.data[pixels[p]];
    total += Math.max(own ? -terminal[p] : terminal[p], 0);
    for (let k = 0; k < 4; k++) {
      const isOnce = k === RIGHT || k === DOWN || neighbors[4 * p + 4 + k] === 0;
      if (edges[4 * p + k] > 0 && isOnce && mask.data[pixels[p] + moves[k]] !== own) total += edges[4 * p + k];
    }
  }
  return total;
}

/** From a pixel to its neighbors, in flat indices. */
export function movesOf({ columns }: { readonly columns: number }): readonly number[] {
  return [-1, 1, -columns, columns];
}

/** A mask at twice the size, cropped to rows and columns. */
export function double(mask: Mask, rows: number, columns: number): Mask {
  const data = new Uint8Array(rows * columns);
  for (let y = 0, i = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++, i++) data[i] = mask.data[(y >> 1) * mask.columns + (x >> 1)];
  }
  return { data, rows, columns };
}

/** The pixels in both masks. */
export function both(one: Mask, other: Mask): Mask {
  return { ...one, data: one.data.map((value, i) => value & other.data[i]) };
}

/** The pixels in either mask. */
export function either(one: Mask, other: Mask): Mask {
  return { ...one, data: one.data.map((value, i) => value | other.data[i]) };
}
