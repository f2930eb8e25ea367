import { describe, expect, it } from "vitest";
import { blurred, heat, light, normalized, quantile, TABLE } from "../../src/page/colors";
import type { Grid } from "../../src/types";

const grid = (rows: number, columns: number, value: (k: number) => number): Grid => ({
  data: Float32Array.from({ length: rows * columns }, (_, k) => value(k)),
  rows,
  columns,
});

/** CIE lightness, another model than the one the table is made with. */
function lightness(step: number): number {
  const [red, green, blue] = [0, 1, 2].map((color) => {
    const value = TABLE[3 * step + color] / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  const y = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  return 116 * Math.cbrt(y) - 16;
}

describe("the scale", () => {
  it("ends at the 99th percentile of the positive values", () => {
    const values = normalized(grid(1, 201, (k) => Math.max(0, k - 100)));
    expect(values[100]).toBe(0);
    expect(values[101]).toBeCloseTo(1 / 99.01, 6); // numpy.quantile(range(1, 101), 0.99) is 99.01
    expect(values[200]).toBe(1);
  });

  it("is 0 everywhere for a map of zeros", () => expect(normalized(grid(2, 2, () => 0))).toEqual(new Float32Array(4)));

  it("has quantiles as numpy's", () => expect(quantile([1, 2, 4], 0.75)).toBe(3));
});

describe("the colors", () => {
  it("become lighter in nearly equal steps", () => {
    const all = Array.from({ length: 256 }, (_, step) => lightness(step));
    const steps = all.slice(16).map((value, k) => value - all[k]);
    expect(Math.min(...steps)).toBeGreaterThan(0);
    expect(Math.max(...steps) / Math.min(...steps)).toBeLessThan(2);
    expect(all[255] - all[0]).toBeGreaterThan(75);
  });

  it("are the more opaque the stronger the saliency", () => {
    const { data, width, height } = heat(grid(1, 30, (k) => Math.max(0, k - 10)));
    expect([width, height]).toEqual([30, 1]);
    expect(data[3]).toBe(0);
    expect(data[4 * 20 + 3]).toBeGreaterThan(128);
    expect(data[4 * 15 + 3]).toBeLessThan(data[4 * 20 + 3]);
    expect([...data.slice(-4)]).toEqual([...TABLE.slice(-3), 255]);
  });

  it("leave in the light what the network looked at", () => {
    const { data } = light(grid(60, 60, (k) => (k === 30 * 60 + 30 ? 1 : 0)));
    expect(data[4 * (30 * 60 + 30) + 3]).toBeLessThan(30);
    expect(data[3]).toBe(255);
  });
});

describe("a blur", () => {
  it("keeps a constant map, also at the rim", () => {
    for (const value of blurred(grid(5, 9, () => 3), 2).data) expect(value).toBeCloseTo(3, 5);
  });

  it("spreads a point evenly, and keeps its sum", () => {
    const { data } = blurred(grid(21, 31, (k) => (k === 10 * 31 + 15 ? 1 : 0)), 2);
    expect(data.reduce((sum, value) => sum + value)).toBeCloseTo(1, 5);
    expect(data[10 * 31 + 13]).toBeCloseTo(data[10 * 31 + 17], 6);
    expect(data[8 * 31 + 15]).toBeCloseTo(data[10 * 31 + 17], 6);
    expect(data[10 * 31 + 15]).toBeCloseTo((19 / 125) ** 2, 5); // the middle of three boxes of five, in both directions
  });
});
