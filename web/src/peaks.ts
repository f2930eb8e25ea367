/**
 * The peaks of a map that stand for themselves, and the cells around each.
 *
 * A ripple is no peak of its own: a peak counts if every way from it to a higher one leads through a dip, of at most a
 * share of its height (topological persistence, relative to the height; Edelsbrunner et al. 2002).
 */

import { componentOf, components } from "./components";
import { maskWhere } from "./grids";
import type { Grid, Mask } from "./types";

const SHARE = 0.5; // of a peak's height, from which on cells of its basin belong to it

/** How high a peak is, and the connected cells of its basin that are at least a share of that height. */
export interface Peak {
  readonly height: number;
  readonly mask: Mask;
}

/**
 * The peaks of a map of values of 0 or more, the highest first.
 *
 * `persistence` is the largest dip towards a higher peak, in shares of the peak's own height, and `least` the smallest
 * height of a peak, in shares of the highest one's.
 */
export function peaks(map: Grid, persistence: number, least: number): Peak[] {
  const order = Array.from(map.data.keys()).sort((one, other) => map.data[other] - map.data[one] || one - other);
  const owner = flood(map, order, persistence);
  const tops = order.filter((i) => owner[i] === i && map.data[i] > 0);
  const high = tops.filter((i) => map.data[i] >= Math.fround(least * map.data[tops[0]]));
  return high.map((i) => {
    const edge = Math.fround(SHARE * map.data[i]);
    const cells = maskWhere(map, (value, j) => owner[j] === i && value >= edge);
    return { height: map.data[i], mask: around(i, cells) };
  });
}

/**
 * The peak whose basin each cell is in, by flooding the map from the highest cell to the lowest, in that order.
 *
 * A basin that meets a higher one at more than `persistence` times its own height becomes a part of it.
 */
function flood({ data, rows, columns }: Grid, order: readonly number[], persistence: number): Int32Array {
  const owner = new Int32Array(data.length).fill(-1);
  const root = (i: number): number => {
    let at = i;
    while (owner[at] !== at) at = owner[at];
    return at;
  };
  const isHigher = (one: number, other: number): boolean =>
    data[one] > data[other] || (data[one] === data[other] && one < other);
  for (const i of order) {
    owner[i] = i;
    for (const neighbor of neighborsOf(i, rows, columns)) {
      if (owner[neighbor] < 0) continue;
      const [one, other] = [root(i), root(neighbor)];
      if (one === other) continue;
      const [high, low] = isHigher(one, other) ? [one, other] : [other, one];
      if (low === i || data[i] > persistence * data[low]) owner[low] = high;
    }
  }
  return owner.map((_, i) => root(i));
}

/** The eight neighbors of a cell, or those inside the map. */
function neighborsOf(i: number, rows: number, columns: number): number[] {
  const [y, x] = [Math.floor(i / columns), i % columns];
  const found: number[] = [];
  for (let v = Math.max(y - 1, 0); v <= Math.min(y + 1, rows - 1); v++) {
    for (let u = Math.max(x - 1, 0); u <= Math.min(x + 1, columns - 1); u++) {
      if (v !== y || u !== x) found.push(v * columns + u);
    }
  }
  return found;
}

/** The component of cells that holds cell `i`, with those that touch at a corner. */
function around(i: number, cells: Mask): Mask {
  const { labels } = components(cells, 8);
  return componentOf(cells, labels, labels[i]);
}
