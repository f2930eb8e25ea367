/**
 * Resizing a region of a picture as Pillow does, to the same bytes: what the network is shown decides what it finds.
 *
 * A region that is much larger than the result is first reduced by whole factors, each block to its mean. Then rows are
 * filtered, and after them columns, each with weights in fixed point and a result of 8 bits.
 */

import { FILTERS, type Filter, type FilterName } from "./filters";
import type { Box, Picture } from "./types";

const REDUCING_GAP = 3; // a picture is reduced to no less than this multiple of the result
const PRECISION = 22; // bits of a weight after the binary point
const TALL = 100; // pictures so many times as high as wide are filtered along columns first

/** The weights of each of the result's pixels along one axis, and which pixels of the source they belong to. */
interface Weights {
  readonly first: Int32Array; // of each pixel of the result, the first pixel of the source
  readonly count: Int32Array; // and how many follow
  readonly most: number; // of all counts
  readonly units: Int32Array; // `most` for each pixel, in 2^-22
}

/** The region of a picture, resized to `width` x `height` pixels with antialiasing. */
export function view(photo: Picture, region: Box, width: number, height: number, filter: FilterName): Picture {
  if (isWhole(photo, region, width, height)) return photo;
  if (filter === "nearest") return nearest(photo, region, width, height);
  const { support, weight } = FILTERS[filter];
  const factorX = Math.max(Math.trunc((region.x1 - region.x0) / width / REDUCING_GAP), 1);
  const factorY = Math.max(Math.trunc((region.y1 - region.y0) / height / REDUCING_GAP), 1);
  if (factorX === 1 && factorY === 1) return resample(photo, region, width, height, { support, weight });
  const safe = safeBox(photo, region, width, height, support);
  const inside = {
    x0: (region.x0 - safe.x0) / factorX,
    y0: (region.y0 - safe.y0) / factorY,
    x1: (region.x1 - safe.x0) / factorX,
    y1: (region.y1 - safe.y0) / factorY,
  };
  return resample(reduce(photo, safe, factorX, factorY), inside, width, height, { support, weight });
}

/** RGB from 0 to 255 -> from 0 to 1. */
export function pixelsOf({ data }: Picture): Float32Array {
  const pixels = new Float32Array(data.length);
  for (let i = 0; i < data.length; i++) pixels[i] = data[i] / 255;
  return pixels;
}

function isWhole(picture: Picture, region: Box, width: number, height: number): boolean {
  const isAll = region.x0 === 0 && region.y0 === 0 && region.x1 === width && region.y1 === height;
  return isAll && picture.width === width && picture.height === height;
}

/** The region with all pixels around it that the filter reaches. */
function safeBox(photo: Picture, region: Box, width: number, height: number, support: number): Box {
  const x = (support - 0.5) * ((region.x1 - region.x0) / width);
  const y = (support - 0.5) * ((region.y1 - region.y0) / height);
  return {
    x0: Math.max(0, Math.trunc(region.x0 - x)),
    y0: Math.max(0, Math.trunc(region.y0 - y)),
    x1: Math.min(photo.width, Math.ceil(region.x1 + x)),
    y1: Math.min(photo.height, Math.ceil(region.y1 + y)),
  };
}

// ------------------------------------------------------------------------------------------------------------ reduce

/** Each block of `factorX` x `factorY` pixels as its mean; the last ones may be smaller. */
function reduce(photo: Picture, box: Box, factorX: number, factorY: number): Picture {
  const width = Math.ceil((box.x1 - box.x0) / factorX);
  const height = Math.ceil((box.y1 - box.y0) / factorY);
  const data = new Uint8Array(3 * width * height);
  const sums = new Uint32Array(3 * width);
  for (let y = 0; y < height; y++) {
    const top = box.y0 + y * factorY;
    const bottom = Math.min(top + factorY, box.y1);
    sums.fill(0);
    for (let row = top; row < bottom; row++) addRow(photo, row, box, factorX, sums);
    for (let x = 0; x < width; x++) {
      const columns = Math.min(factorX, box.x1 - box.x0 - x * factorX);
      const divide = dividerBy((bottom - top) * columns);
      for (let k = 3 * x; k < 3 * x + 3; k++) data[3 * y * width + k] = divide(sums[k]);
    }
  }
  return { data, width, height };
}

/** Adds a row of pixels to the sums of their blocks. */
function addRow(photo: Picture, row: number, box: Box, factor: number, sums: Uint32Array): void {
  const { data, width } = photo;
  let at = 3 * (row * width + box.x0);
  for (let block = 0, left = box.x0; left < box.x1; block += 3, left += factor) {
    for (const end = at + 3 * Math.min(factor, box.x1 - left); at < end; at += 3) {
      sums[block] += data[at];
      sums[block + 1] += data[at + 1];
      sums[block + 2] += data[at + 2];
    }
  }
}

/** A rounded division by a small count, in the fixed point of Pillow, whose reciprocal is a single-precision one. */
function dividerBy(count: number): (sum: number) => number {
  const reciprocal = Math.trunc(Math.fround(2 ** 32 / (256 * count)));
  const half = count >> 1;
  return (sum) => Math.floor(((sum + half) * reciprocal) / 2 ** 24);
}

// ---------------------------------------------------------------------------------------------------------- resample

function resample(picture: Picture, box: Box, width: number, height: number, filter: Filter): Picture {
  if (picture.height > picture.width * TALL && height < picture.height) {
    const low = filtered(picture, { ...box, x0: 0, x1: picture.width }, picture.width, height, filter);
    return filtered(low, { ...box, y0: 0, y1: height }, width, height, filter);
  }
  return filtered(picture, box, width, height, filter);
}

/** Rows first, of those that columns need, and then columns; an axis that stays as it is is left out. */
function filtered(picture: Picture, box: Box, width: number, height: number, filter: Filter): Picture {
  let source = picture;
  let skipped = 0;
  const columns = weightsOf(picture.height, box.y0, box.y1, height, filter);
  if (width !== picture.width || box.x0 !== 0 || box.x1 !== width) {
    const rows = weightsOf(picture.width, box.x0, box.x1, width, filter);
    skipped = columns.first[0];
    source = filterRows(picture, rows, skipped, columns.first[height - 1] + columns.count[height - 1] - skipped);
  }
  if (height === picture.height && box.y0 === 0 && box.y1 === height) return source;
  return filterColumns(source, columns, skipped);
}

/** The filter's weights along an axis of `size` pixels, of which those from `start` to `stop` become `count`. */
function weightsOf(size: number, start: number, stop: number, count: number, filter: Filter): Weights {
  const from = Math.fround(start); // Pillow keeps a box in single precision
  const scale = Math.fround(Math.fround(stop) - from) / count;
  const stretch = Math.max(scale, 1);
  const support = filter.support * stretch;
  const most = 2 * Math.ceil(support) + 1;
  const [firsts, counts, units] = [new Int32Array(count), new Int32Array(count), new Int32Array(most * count)];
  for (let i = 0; i < count; i++) {
    const center = from + (i + 0.5) * scale;
    const first = Math.max(Math.trunc(center - support + 0.5), 0);
    const taps = Math.min(Math.trunc(center + support + 0.5), size) - first;
    const weights = Array.from({ length: taps }, (_, k) => filter.weight((k + first - center + 0.5) * (1 / stretch)));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    firsts[i] = first;
    counts[i] = taps;
    weights.forEach((weight, k) => (units[i * most + k] = unitsOf(total === 0 ? weight : weight / total)));
  }
  return { first: firsts, count: counts, most, units };
}

function unitsOf(weight: number): number {
  return Math.trunc(weight * 2 ** PRECISION + (weight < 0 ? -0.5 : 0.5));
}

/** `count` rows from `skipped` on, each filtered along itself. */
function filterRows(picture: Picture, weights: Weights, skipped: number, count: number): Picture {
  const { first, most, units } = weights;
  const width = first.length;
  const out = new Uint8ClampedArray(3 * width * count);
  for (let y = 0; y < count; y++) {
    const row = picture.data.subarray(3 * (y + skipped) * picture.width, 3 * (y + skipped + 1) * picture.width);
    for (let x = 0; x < width; x++) {
      let red = 2 ** (PRECISION - 1);
      let green = red;
      let blue = red;
      for (let k = 0, at = 3 * first[x]; k < weights.count[x]; k++, at += 3) {
        const weight = units[x * most + k];
        red += row[at] * weight;
        green += row[at + 1] * weight;
        blue += row[at + 2] * weight;
      }
      const at = 3 * (y * width + x);
      out[at] = red >> PRECISION;
      out[at + 1] = green >> PRECISION;
      out[at + 2] = blue >> PRECISION;
    }
  }
  return { data: out, width, height: count };
}

/** All columns, each filtered along itself; the picture lacks the first `skipped` rows. */
function filterColumns(picture: Picture, weights: Weights, skipped: number): Picture {
  const { first, count, most, units } = weights;
  const { data, width } = picture;
  const height = first.length;
  const out = new Uint8ClampedArray(3 * width * height);
  const sums = new Float64Array(3 * width);
  for (let y = 0; y < height; y++) {
    sums.fill(2 ** (PRECISION - 1));
    for (let k = 0; k < count[y]; k++) {
      const weight = units[y * most + k];
      const start = 3 * width * (first[y] - skipped + k);
      for (let x = 0; x < sums.length; x++) sums[x] += data[start + x] * weight;
    }
    for (let x = 0; x < sums.length; x++) out[3 * width * y + x] = sums[x] >> PRECISION;
  }
  return { data: out, width, height };
}

// ----------------------------------------------------------------------------------------------------------- nearest

/** The pixels at the centers of the result's; black where the region leaves the picture. */
function nearest(picture: Picture, region: Box, width: number, height: number): Picture {
  const columns = centers(region.x0, region.x1, width, picture.width);
  const rows = centers(region.y0, region.y1, height, picture.height);
  const data = new Uint8Array(3 * width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (rows[y] < 0 || columns[x] < 0) continue;
      const from = 3 * (rows[y] * picture.width + columns[x]);
      for (let color = 0; color < 3; color++) data[3 * (y * width + x) + color] = picture.data[from + color];
    }
  }
  return { data, width, height };
}

/** The pixels of the source along an axis, -1 for none. Steps are added up, since their rounding decides ties. */
function centers(start: number, stop: number, count: number, size: number): Int32Array {
  const from = Math.fround(start);
  const step = Math.fround(Math.fround(stop) - from) / count;
  const found = new Int32Array(count).fill(-1);
  for (let i = 0, at = from + step * 0.5; i < count; i++, at += step) {
    if (at >= 0 && at < size) found[i] = Math.trunc(at);
  }
  return found;
}
