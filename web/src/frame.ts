/** Boxes, and the map between the pixels of a network and those of a photo, which is affine and along the axes. */

import { type Axis, axisOf, cellPosition, extents, insideRegion, isInside } from "./resampling";
import type { Box, Grid, Mask } from "./types";

/** The area of a box in pixels; 0 if it is inverted. */
export function areaOf({ x0, y0, x1, y1 }: Box): number {
  return Math.max(x1 - x0, 0) * Math.max(y1 - y0, 0);
}

/** Intersection over union of two boxes, in [0, 1]; 0 for two empty boxes. */
export function iou(one: Box, other: Box): number {
  const shared = areaOf({
    x0: Math.max(one.x0, other.x0),
    y0: Math.max(one.y0, other.y0),
    x1: Math.min(one.x1, other.x1),
    y1: Math.min(one.y1, other.y1),
  });
  const union = areaOf(one) + areaOf(other) - shared;
  return union > 0 ? shared / union : 0;
}

/**
 * The rectangle `region` of a photo, resized to `width` x `height` pixels of a network, or cells.
 *
 * Coordinates are continuous: pixel `i` covers `[i, i + 1)` and its center is `i + 0.5`.
 */
export class Frame {
  constructor(
    readonly photoWidth: number,
    readonly photoHeight: number,
    readonly region: Box,
    readonly width: number,
    readonly height: number,
  ) {}

  /** The same frame for a copy of the photo that was resized to `width` x `height`. */
  resized(width: number, height: number): Frame {
    const [x, y] = [width / this.photoWidth, height / this.photoHeight];
    const { x0, y0, x1, y1 } = this.region;
    return new Frame(width, height, { x0: x0 * x, y0: y0 * y, x1: x1 * x, y1: y1 * y }, this.width, this.height);
  }

  /** A box in pixels of the network -> in photo pixels, not rounded. */
  toPhoto(box: Box): Box {
    const { x0, y0, x1, y1 } = this.region;
    const [x, y] = [(x1 - x0) / this.width, (y1 - y0) / this.height];
    return { x0: x0 + box.x0 * x, y0: y0 + box.y0 * y, x1: x0 + box.x1 * x, y1: y0 + box.y1 * y };
  }

  /**
   * A mask on the grid -> in photo pixels, background outside the region.
   *
   * A mask that falls between the centers of the photo's pixels keeps one pixel, so that no object vanishes.
   */
  maskToPhoto(mask: Mask): Mask {
    const [x, y] = this.axes();
    const [rows, columns] = [this.photoHeight, this.photoWidth];
    const data = new Uint8Array(rows * columns);
    let isEmpty = true;
    for (let j = 0; j < y.low.length; j++) {
      for (let i = 0; i < x.low.length; i++) {
        if (!isInside(mask, x, y, i, j)) continue;
        data[(y.first + j) * columns + x.first + i] = 1;
        isEmpty = false;
      }
    }
    if (isEmpty && mask.data.includes(1)) {
      const { x0, y0 } = this.nearestPixel(mask);
      data[y0 * columns + x0] = 1;
    }
    return { data, rows, columns };
  }

  /** The bounding box, in whole photo pixels, of `maskToPhoto(mask)`. Throws for an empty mask. */
  maskBox(mask: Mask): Box {
    if (!mask.data.includes(1)) throw new Error("Expected a mask with at least one pixel, got an empty one.");
    const found = extents(mask, ...this.axes());
    if (found === null) return this.nearestPixel(mask);
    const { columns, rows } = found;
    return { x0: columns[0], y0: rows[0], x1: columns[1], y1: rows[1] };
  }

  /** A map on the grid -> in photo pixels, bilinear between the centers of cells, 0 outside the region. */
  mapToPhoto(map: Grid): Grid {
    const [rows, columns] = [this.photoHeight, this.photoWidth];
    const { x0, y0, x1, y1 } = this.region;
    const across = samples(columns, x0, x1, this.width);
    const data = new Float32Array(rows * columns);
    for (const down of samples(rows, y0, y1, this.height)) {
      const [upper, lower] = [down.low * map.columns, down.high * map.columns];
      for (const { pixel, low, high, weight } of across) {
        const one = map.data[upper + low] * (1 - down.weight) + map.data[lower + low] * down.weight;
        const other = map.data[upper + high] * (1 - down.weight) + map.data[lower + high] * down.weight;
        data[down.pixel * columns + pixel] = one * (1 - weight) + other * weight;
      }
    }
    return { data, rows, columns };
  }

  /** Where the photo's columns lie on the grid's, and its rows. */
  private axes(): readonly [Axis, Axis] {
    const { x0, y0, x1, y1 } = this.region;
    return [axisOf(this.photoWidth, x0, x1, this.width), axisOf(this.photoHeight, y0, y1, this.height)];
  }

  /** The photo pixel at the middle of a mask, or rather at the cell of the mask that is nearest to it. */
  private nearestPixel({ data, columns }: Mask): Box {
    const cells = Array.from(data.keys()).filter((i) => data[i] === 1);
    const places = cells.map((i) => [i % columns, Math.floor(i / columns)] as const);
    const x = places.reduce((sum, place) => sum + place[0], 0) / places.length;
    const y = places.reduce((sum, place) => sum + place[1], 0) / places.length;
    const distance = (place: readonly [number, number]): number => Math.hypot(place[0] - x, place[1] - y);
    const [left, top] = places.reduce((best, place) => (distance(place) < distance(best) ? place : best));
    const center = this.toPhoto({ x0: left + 0.5, y0: top + 0.5, x1: left + 0.5, y1: top + 0.5 });
    const column = Math.min(Math.trunc(center.x0), this.photoWidth - 1);
    const row = Math.min(Math.trunc(center.y0), this.photoHeight - 1);
    return { x0: column, y0: row, x1: column + 1, y1: row + 1 };
  }
}

/** A pixel of the photo between two cells along an axis, of which the second one has a share of `weight`. */
interface Sample {
  readonly pixel: number;
  readonly low: number;
  readonly high: number;
  readonly weight: number;
}

/** The pixels of the photo inside the region, along one axis. */
function samples(pixels: number, start: number, stop: number, count: number): Sample[] {
  const [first, end] = insideRegion(pixels, start, stop);
  return Array.from({ length: end - first }, (_, i) => {
    const at = Math.min(Math.max(cellPosition(first + i, start, stop - start, count), 0), count - 1);
    const low = Math.floor(at);
    return { pixel: first + i, low, high: Math.min(low + 1, count - 1), weight: Math.fround(at - low) };
  });
}
