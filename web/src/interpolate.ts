/** Maps on another grid, as PyTorch's `interpolate` has them with `align_corners=False`. */

import type { Features, Grid } from "./types";

const CUBIC = -0.75; // the `a` of Keys' cubic convolution

/** Along one axis: the cells that each result is made of, and their weights, `taps` of each. */
interface Taps {
  readonly taps: number;
  readonly cells: Int32Array;
  readonly weights: Float32Array;
}

/** A map on another grid: averages when it shrinks, bicubic when it grows. */
export function resize(map: Grid, rows: number, columns: number): Grid {
  if (rows < map.rows) return average(map, rows, columns);
  return separable(map, cubicTaps(map.rows, rows), cubicTaps(map.columns, columns));
}

/** A map on another grid, bilinear between the centers of its cells: never beyond its own values. */
export function resizeSmoothly(map: Grid, rows: number, columns: number): Grid {
  return separable(map, linearTaps(map.rows, rows), linearTaps(map.columns, columns));
}

/** Feature maps on another grid: averages when they shrink, bilinear when they grow. */
export function resizeChannels(features: Features, rows: number, columns: number): Features {
  const { channels } = features;
  const [from, to] = [features.rows * features.columns, rows * columns];
  const data = new Float32Array(channels * to);
  const change = features.columns > columns ? average : resizeSmoothly;
  for (let channel = 0; channel < channels; channel++) {
    const plane = features.data.subarray(channel * from, (channel + 1) * from);
    const map = { data: plane, rows: features.rows, columns: features.columns };
    data.set(change(map, rows, columns).data, channel * to);
  }
  return { data, channels, rows, columns };
}

/** The mean of all cells that each cell of the result touches. */
function average(map: Grid, rows: number, columns: number): Grid {
  const data = new Float32Array(rows * columns);
  for (let y = 0; y < rows; y++) {
    const [top, bottom] = touched(y, map.rows, rows);
    for (let x = 0; x < columns; x++) {
      const [left, right] = touched(x, map.columns, columns);
      let sum = 0;
      for (let v = top; v < bottom; v++) {
        for (let u = left; u < right; u++) sum += map.data[v * map.columns + u];
      }
      data[y * columns + x] = sum / ((bottom - top) * (right - left));
    }
  }
  return { data, rows, columns };
}

function touched(i: number, from: number, to: number): [number, number] {
  return [Math.floor((i * from) / to), Math.ceil(((i + 1) * from) / to)];
}

/** Weighted sums along columns, then along rows. */
function separable(map: Grid, down: Taps, across: Taps): Grid {
  const rows = down.cells.length / down.taps;
  const columns = across.cells.length / across.taps;
  const data = new Float32Array(rows * columns);
  const line = new Float64Array(map.columns);
  for (let y = 0; y < rows; y++) {
    line.fill(0);
    for (let tap = y * down.taps; tap < (y + 1) * down.taps; tap++) {
      const start = down.cells[tap] * map.columns;
      const weight = down.weights[tap];
      for (let x = 0; x < map.columns; x++) line[x] += weight * map.data[start + x];
    }
    for (let x = 0; x < columns; x++) {
      let sum = 0;
      for (let tap = x * across.taps; tap < (x + 1) * across.taps; tap++) {
        sum += across.weights[tap] * line[across.cells[tap]];
      }
      data[y * columns + x] = sum;
    }
  }
  return { data, rows, columns };
}

function linearTaps(from: number, to: number): Taps {
  const found = { taps: 2, cells: new Int32Array(2 * to), weights: new Float32Array(2 * to) };
  for (let i = 0; i < to; i++) {
    const at = Math.max(position(i, from, to), 0);
    const low = Math.min(Math.floor(at), from - 1);
    const share = Math.min(Math.fround(at - low), 1);
    found.cells.set([low, Math.min(low + 1, from - 1)], 2 * i);
    found.weights.set([1 - share, share], 2 * i);
  }
  return found;
}

function cubicTaps(from: number, to: number): Taps {
  const found = { taps: 4, cells: new Int32Array(4 * to), weights: new Float32Array(4 * to) };
  for (let i = 0; i < to; i++) {
    const at = position(i, from, to);
    const low = Math.floor(at);
    const share = at - low;
    for (let k = 0; k < 4; k++) found.cells[4 * i + k] = Math.min(Math.max(low - 1 + k, 0), from - 1);
    found.weights.set([outer(share + 1), inner(share), inner(1 - share), outer(2 - share)], 4 * i);
  }
  return found;
}

/** Where the center of cell `i` lies on the other grid: 0 is the center of its first cell. In single precision. */
function position(i: number, from: number, to: number): number {
  return Math.fround(Math.fround(Math.fround(from / to) * (i + 0.5)) - 0.5);
}

/** The weight of a cell at a distance of at most 1. */
function inner(x: number): number {
  return ((CUBIC + 2) * x - (CUBIC + 3)) * x * x + 1;
}

/** The weight of a cell at a distance from 1 to 2. */
function outer(x: number): number {
  return ((CUBIC * x - 5 * CUBIC) * x + 8 * CUBIC) * x - 4 * CUBIC;
}
