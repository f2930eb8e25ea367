import { describe, expect, test } from "vitest";
import { largestComponent } from "../src/components";
import type { Edges } from "../src/continuity";
import { minimumCut } from "../src/graphcut";
import type { Grid, Mask } from "../src/types";
import { cases, type Coded, gridOf, maskOf, numbered, randomFrom, valuesOf } from "./cases";

interface CutCase {
  readonly odds: Coded;
  readonly right: Coded;
  readonly down: Coded;
  readonly mask: Coded;
  readonly energy: number;
}

describe("minimumCut", () => {
  test.each(numbered<CutCase>("cuts"))("agrees with the library, case %i", (_, each) => {
    const cut = minimumCut(gridOf(each.odds), { right: valuesOf(each.right), down: valuesOf(each.down) });
    expect(cut.mask).toEqual(maskOf(each.mask));
    expect(cut.energy).toBe(each.energy);
  });

  test.each([
    [1, 1],
    [1, 7],
    [7, 1],
    [2, 3],
    [3, 3],
    [3, 4],
  ])("finds the smallest of the best of all masks of %i x %i pixels", (rows, columns) => {
    const random = randomFrom(rows * 10 + columns);
    for (let round = 0; round < 60; round++) {
      const whole = (most: number) => Math.floor(random() * (most + 1)); // whole numbers tie
      const grid = {
        data: Float32Array.from({ length: rows * columns }, () => whole(8) - 4),
        rows,
        columns,
      };
      const edges = {
        right: Float32Array.from({ length: rows * (columns - 1) }, () => whole(1 + (round % 4))),
        down: Float32Array.from({ length: (rows - 1) * columns }, () => whole(1 + (round % 4))),
      };
      const cut = minimumCut(grid, edges);
      const best = bestOfAll(grid, edges);
      expect(cut.energy).toBe(best.energy);
      expect(Array.from(cut.mask.data)).toEqual(Array.from(best.mask));
    }
  });
});

test("largestComponent agrees with the library", () => {
  for (const each of cases.components as { mask: Coded; weights: Coded; found: Coded }[]) {
    expect(largestComponent(maskOf(each.mask), valuesOf(each.weights))).toEqual(maskOf(each.found));
  }
});

/** By trying all masks; of those of least energy, the one of the fewest pixels, which all the others contain. */
function bestOfAll(odds: Grid, edges: Edges): { mask: Uint8Array; energy: number } {
  const size = odds.data.length;
  let best = { mask: new Uint8Array(size), energy: Infinity, count: Infinity };
  for (let bits = 0; bits < 2 ** size; bits++) {
    const data = Uint8Array.from({ length: size }, (_, i) => (bits >> i) & 1);
    const energy = energyOf({ ...odds, data }, odds, edges);
    const count = data.reduce((sum, value) => sum + value, 0);
    if (energy < best.energy || (energy === best.energy && count < best.count)) best = { mask: data, energy, count };
  }
  return best;
}

function energyOf({ data, rows, columns }: Mask, odds: Grid, { right, down }: Edges): number {
  let energy = 0;
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const i = y * columns + x;
      energy += data[i] ? Math.max(-odds.data[i], 0) : Math.max(odds.data[i], 0);
      if (x + 1 < columns && data[i] !== data[i + 1]) energy += right[y * (columns - 1) + x];
      if (y + 1 < rows && data[i] !== data[i + columns]) energy += down[i];
    }
  }
  return energy;
}
