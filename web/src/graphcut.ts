/** The exact minimum cut of a grid: the mask of least energy, in integers. */

import { type Costs, graphOf, labeled, pack, unitsOf } from "./band";
import type { Edges } from "./continuity";
import { DOWN, drain, LEFT, matchChains, RIGHT, UP } from "./flow";
import { round } from "./round";
import type { Grid, Mask } from "./types";

/** Bounds of the sum of terminal capacities and of one edge in units, so that every flow fits an int32. */
export const TERMINAL_LIMIT = 2 ** 30;
export const EDGE_LIMIT = 2 ** 29;

/** The mask of minimum energy, the smallest if there are several, and its energy in nats. */
export interface Cut {
  readonly mask: Mask;
  readonly energy: number;
}

/**
 * The exact minimum of the energy over all masks.
 *
 * A pixel of log odds above 0 costs these where it is background, and one below 0 costs their magnitude where it is
 * foreground. `edges`, 0 or more, are what different labels of neighbors cost. All are in nats.
 */
export function minimumCut(odds: Grid, edges: Edges): Cut {
  const { rows, columns } = odds;
  const everywhere = { data: new Uint8Array(rows * columns).fill(1), rows, columns };
  const packed = pack(everywhere);
  const { costs, scale } = quantized(odds, edges);
  const graph = graphOf(packed, costs, everywhere, Infinity);
  matchChains(graph);
  const mask = labeled(everywhere, packed.pixels, drain(graph));
  return { mask, energy: unitsOf(packed, costs, mask) / scale };
}

/** Units of a nat, a power of two, so that the costs of all pixels and each edge fit an int32. */
export function unitsPerNat(largestTotal: number, largestEdge: number): number {
  const most = Math.min(TERMINAL_LIMIT / Math.max(largestTotal, 1e-298), EDGE_LIMIT / Math.max(largestEdge, 1e-298));
  return 2 ** Math.floor(Math.log2(most));
}

/** The energy in integers, in the smallest unit at which every flow fits an int32. */
function quantized(odds: Grid, { right, down }: Edges): { costs: Costs; scale: number } {
  const { rows, columns } = odds;
  const total = odds.data.reduce((sum, value) => sum + Math.abs(value), 0);
  const scale = unitsPerNat(total, Math.max(largest(right), largest(down)));
  const terminal = Int32Array.from(odds.data, (value) => round(value * scale));
  const edges = new Int32Array(4 * terminal.length);
  for (let y = 0, i = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++, i++) {
      if (x + 1 < columns) edges[4 * i + RIGHT] = edges[4 * i + 4 + LEFT] = round(right[i - y] * scale);
      if (y + 1 < rows) edges[4 * i + DOWN] = edges[4 * (i + columns) + UP] = round(down[i] * scale);
    }
  }
  return { costs: { terminal, edges }, scale };
}

function largest(values: Float32Array): number {
  return values.reduce((most, value) => Math.max(most, value), 0);
}
