/** Objects of a class while they are being looked for: where each was seen last, and which are one and the same. */

import { both } from "./band";
import { areaOf, type Frame, iou } from "./frame";
import type { Coarse, Glance } from "./glance";
import { countOf, isFlat } from "./grids";
import { round } from "./round";
import type { Box, Grid, Mask } from "./types";

const COMPARED = 160; // pixels on the longer side of the photo at which masks of different views are compared

/** An object of a class as it was seen last: where, which of that glance's classes it is, and how sure it is. */
export class Lead {
  readonly index: number; // the class
  readonly cut: Coarse;
  readonly box: Box; // of the coarse mask, in photo pixels, not rounded
  private smallMask: Mask | null = null;

  constructor(
    readonly glance: Glance,
    readonly k: number,
    readonly confidence: number, // the probability of the class in that glance
    readonly isClosed = false, // whether a closer look was no better
  ) {
    this.index = glance.classes[k];
    this.cut = glance.coarseCut(k);
    this.box = boxOf(glance, this.cut.mask);
  }

  /** The map of the class in that glance. */
  get map(): Grid {
    return this.glance.maps[this.k];
  }

  /** The mask on a small copy of the photo, the same for all views. */
  get small(): Mask {
    return (this.smallMask ??= small(this.glance.frame, this.cut.mask));
  }

  /** The same object, at which nobody looks closer any more. */
  closed(): Lead {
    return new Lead(this.glance, this.k, this.confidence, true);
  }

  /** The same object, with another confidence. */
  withConfidence(confidence: number): Lead {
    return new Lead(this.glance, this.k, confidence, this.isClosed);
  }

  /** Whether most of these cells of another glance are this object. */
  covers(glance: Glance, cells: Mask): boolean {
    const theirs = small(glance.frame, cells);
    return 2 * countOf(both(theirs, this.small)) > countOf(theirs);
  }
}

/** The object of a class in a glance, or null where the map points nowhere. */
export function leadIn(glance: Glance, index: number): Lead | null {
  const k = glance.classes.indexOf(index);
  return isFlat(glance.maps[k]) ? null : new Lead(glance, k, glance.first.probabilities[index]);
}

/** The bounding box, in photo pixels, of cells of a glance. */
export function boxOf({ frame }: Glance, { data, columns }: Mask): Box {
  let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
  data.forEach((value, i) => {
    if (value === 0) return;
    const [x, y] = [i % columns, Math.floor(i / columns)];
    [x0, y0, x1, y1] = [Math.min(x0, x), Math.min(y0, y), Math.max(x1, x + 1), Math.max(y1, y + 1)];
  });
  return frame.toPhoto({ x0, y0, x1, y1 });
}

/** A box with a margin on each side, in shares of its own sides, on whole pixels and within the photo of a frame. */
export function grown({ x0, y0, x1, y1 }: Box, margin: number, frame: Frame): Box {
  const [x, y] = [(x1 - x0) * margin, (y1 - y0) * margin];
  return {
    x0: Math.max(Math.floor(x0 - x), 0),
    y0: Math.max(Math.floor(y0 - y), 0),
    x1: Math.min(Math.ceil(x1 + x), frame.photoWidth),
    y1: Math.min(Math.ceil(y1 + y), frame.photoHeight),
  };
}

/** Whether a closer look at a region would show hardly more: it is at least a share of what was seen. */
export function isFilled(region: Box, { glance }: Lead, share: number): boolean {
  return areaOf(region) > share * areaOf(glance.frame.region);
}

/**
 * The first object of a class, and those of the others that are objects of their own, the surest first.
 *
 * None of them is surer than the first, which has the most evidence in the whole photo. `surer` is the smallest
 * confidence, in shares of the highest one, and `overlap` the largest share of the smaller of two masks that the other
 * may cover, and of two boxes' intersection over union.
 */
export function apart(first: Lead, others: readonly Lead[], surer: number, overlap: number): Lead[] {
  const most = Math.max(...[first, ...others].map(({ confidence }) => confidence));
  const kept = [first];
  for (const lead of [...others].sort((one, other) => other.confidence - one.confidence)) {
    const isNew = kept.every((old) => covered(lead.small, old.small) <= overlap && iou(lead.box, old.box) <= overlap);
    if (lead.confidence < surer * most || !isNew) continue;
    kept.push(lead.withConfidence(Math.min(lead.confidence, first.confidence)));
  }
  return kept;
}

function small(frame: Frame, cells: Mask): Mask {
  const { photoWidth, photoHeight } = frame;
  const share = Math.min(COMPARED / Math.max(photoWidth, photoHeight), 1);
  const [width, height] = [photoWidth, photoHeight].map((side) => Math.max(round(side * share), 1));
  return frame.resized(width, height).maskToPhoto(cells);
}

/** Of the smaller mask, the share that the other one covers. */
function covered(one: Mask, other: Mask): number {
  const smaller = Math.min(countOf(one), countOf(other));
  return smaller === 0 ? 1 : countOf(both(one, other)) / smaller;
}
