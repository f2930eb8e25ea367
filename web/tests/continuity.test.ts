import { describe, expect, test } from "vitest";
import { continuityEdges, logOdds, seedMap } from "../src/continuity";
import { resizeChannels } from "../src/interpolate";
import { lab } from "../src/lab";
import { otsu } from "../src/otsu";
import { peaks } from "../src/peaks";
import { featureKernel } from "../src/similarity";
import {
  bytesOf,
  cases,
  type Coded,
  constants,
  difference,
  featuresOf,
  gridOf,
  maskOf,
  numbered,
  valuesOf,
} from "./cases";

interface ContinuityCase extends Record<"image" | "seed" | "kernel" | "odds" | "lab" | "right" | "down", Coded> {
  readonly cells: [number, number];
  readonly nodes: [number, number];
  readonly maps: Coded[];
  readonly features: Coded[];
  readonly colorsAlone: boolean;
  readonly otsu: number;
}

const how = constants.continuity;

describe.each(numbered<ContinuityCase>("continuities"))("case %i", (_, each) => {
  const seed = gridOf(each.seed);
  const image = Float32Array.from(bytesOf(each.image), (value) => value / 255);

  test("seedMap", () => {
    const found = seedMap(each.maps.map(gridOf), ...each.cells, how);
    expect(difference(found.data, seed.data)).toBeLessThan(2e-6);
  });

  test("featureKernel and logOdds", () => {
    const kernel = featureKernel(each.features.map(featuresOf), ...each.nodes, how);
    const known = valuesOf(each.kernel);
    expect(difference(kernel.data, known)).toBeLessThan(2e-6 * Math.max(...known));
    const odds = logOdds(seed, kernel, ...each.nodes, how);
    expect(difference(odds.data, valuesOf(each.odds))).toBeLessThan(1e-5);
  });

  test("lab and continuityEdges", () => {
    expect(difference(lab(image), valuesOf(each.lab))).toBeLessThan(2e-5);
    const fine = each.colorsAlone ? null : resizeChannels(featuresOf(each.features[0]), ...each.cells);
    const { right, down } = continuityEdges(image, ...each.cells, fine, how.edge);
    expect(difference(right, valuesOf(each.right))).toBeLessThan(1e-6);
    expect(difference(down, valuesOf(each.down))).toBeLessThan(1e-6);
  });

  test("otsu", () => {
    expect(otsu(seed.data)).toBe(each.otsu);
  });
});

test("seedMap: maps that are the same everywhere point nowhere", () => {
  const map = { data: new Float32Array(9).fill(0.3), rows: 3, columns: 3 };
  expect(seedMap([map, map], 12, 12, how).data.every((value) => value === 0)).toBe(true);
});

test("peaks agree with the library", () => {
  for (const each of cases.peaks as { map: Coded; peaks: { height: number; mask: Coded }[] }[]) {
    const found = peaks(gridOf(each.map), 0.7, 0.3);
    expect(found).toEqual(each.peaks.map(({ height, mask }) => ({ height, mask: maskOf(mask) })));
  }
});
