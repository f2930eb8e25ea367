/**
 * From cells to pixels: a mask on a small grid, in the pixels of a photo that are inside the grid's region.
 *
 * Along an axis on which there are more pixels than cells, the mask is interpolated linearly between the centers of
 * cells, and what is above one half belongs to the object: outlines become lines in place of staircases. A pixel of
 * exactly one half takes the value of the cell that its center falls into, as all pixels do along other axes.
 */

import type { Mask } from "./types";

const TIE = 1e-9; // what is so near to one half is one half but for rounding

/**
 * Where the pixels of a photo that are inside the region lie on the grid, along one axis.
 *
 * Pixel `i` of them is between the centers of the cells `low[i]` and `high[i]`, which are the same where cells are not
 * larger than pixels, and the second one's share of its value is `weight[i]`.
 */
export interface Axis {
  readonly first: number; // of the photo's pixels along the axis, the one that is pixel 0 here
  readonly low: Int32Array;
  readonly high: Int32Array;
  readonly weight: Float64Array;
}

/** From the first to the last pixel, half-open. */
export type Span = readonly [number, number];

/** The axis of `pixels` pixels whose region from `start` to `stop` has `count` cells. */
export function axisOf(pixels: number, start: number, stop: number, count: number): Axis {
  const [first, end] = insideRegion(pixels, start, stop);
  const isSmooth = stop - start > count;
  const low = new Int32Array(end - first);
  const high = new Int32Array(end - first);
  const weight = new Float64Array(end - first);
  for (let i = 0; i < low.length; i++) {
    const position = cellPosition(first + i, start, stop - start, count);
    const at = Math.min(Math.max(isSmooth ? position : Math.floor(position + 0.5), 0), count - 1);
    low[i] = Math.floor(at);
    high[i] = Math.min(low[i] + (isSmooth ? 1 : 0), count - 1);
    weight[i] = at - low[i];
  }
  return { first, low, high, weight };
}

/** The pixels whose centers are inside the region, along one axis. */
export function insideRegion(pixels: number, start: number, stop: number): Span {
  const first = Math.min(Math.max(Math.ceil(start - 0.5), 0), pixels);
  return [first, Math.max(Math.min(Math.ceil(stop - 0.5), pixels), first)];
}

/** Where the center of a pixel is on the grid: 0 is the center of the first cell. */
export function cellPosition(pixel: number, start: number, length: number, count: number): number {
  return (pixel + 0.5 - start) * (count / length) - 0.5;
}

/** Whether a pixel of the region, in column `i` and row `j` of it, is inside the outline. */
export function isInside({ data, columns }: Mask, x: Axis, y: Axis, i: number, j: number): boolean {
  const [up, down] = [y.low[j] * columns, y.high[j] * columns];
  const [left, right] = [x.low[i], x.high[i]];
  const [across, along] = [x.weight[i], y.weight[j]];
  const upper = data[up + left] * (1 - across) + data[up + right] * across;
  const lower = data[down + left] * (1 - across) + data[down + right] * across;
  const share = upper * (1 - along) + lower * along;
  if (Math.abs(share - 0.5) >= TIE) return share > 0.5;
  return data[(along < 0.5 - TIE ? up : down) + (across < 0.5 - TIE ? left : right)] === 1;
}

/**
 * The columns and the rows of the photo from the first to the last pixel inside the outline; null if there is none.
 *
 * Along a line between cells, values change linearly, so they are largest at the ends of a step, that is of the pixels
 * between the same two cells: nothing else is computed, and only as far from the sides as the mask is.
 */
export function extents(mask: Mask, x: Axis, y: Axis): { columns: Span; rows: Span } | null {
  const [columnEnds, rowEnds] = [stepEnds(x), stepEnds(y)];
  const [hasColumn, hasRow] = usedLines(mask);
  const columns = extent(x, hasColumn, (i) => rowEnds.some((j) => isInside(mask, x, y, i, j)));
  const rows = extent(y, hasRow, (j) => columnEnds.some((i) => isInside(mask, x, y, i, j)));
  return columns && rows ? { columns, rows } : null;
}

/** Which columns and which rows of a mask have foreground. */
function usedLines({ data, rows, columns }: Mask): [Uint8Array, Uint8Array] {
  const found: [Uint8Array, Uint8Array] = [new Uint8Array(columns), new Uint8Array(rows)];
  data.forEach((value, i) => {
    if (value) found[0][i % columns] = found[1][Math.floor(i / columns)] = 1;
  });
  return found;
}

/** The first and the last pixel of each step. */
function stepEnds({ low }: Axis): number[] {
  const last = low.length - 1;
  const isEnd = (i: number): boolean => i === 0 || i === last || low[i] !== low[i - 1] || low[i] !== low[i + 1];
  return Array.from(low.keys()).filter(isEnd);
}

/** From the first to the last pixel along an axis for which `is` holds; `has` tells the cells that may matter. */
function extent(axis: Axis, has: Uint8Array, is: (pixel: number) => boolean): Span | null {
  const holds = (i: number): boolean => (has[axis.low[i]] || has[axis.high[i]]) === 1 && is(i);
  let first = 0;
  while (first < axis.low.length && !holds(first)) first++;
  if (first === axis.low.length) return null;
  let last = axis.low.length - 1;
  while (!holds(last)) last--;
  return [axis.first + first, axis.first + last + 1];
}
