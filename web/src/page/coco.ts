/** The boxes as COCO JSON (https://cocodataset.org/#format-data). */

import type { Box } from "../types";

/** An object and its class, in pixels of the file. */
export interface Boxed {
  readonly index: number;
  readonly label: string;
  readonly confidence: number;
  readonly box: Box;
}

/** One image with its boxes. Category ids are class indices, and `score` is the confidence. */
export function coco(file: string, width: number, height: number, found: readonly Boxed[]): string {
  const names = new Map(found.map(({ index, label }) => [index, label]));
  return JSON.stringify(
    {
      info: { description: "Boxes by deepinside" },
      licenses: [],
      images: [{ id: 1, file_name: file, width, height }],
      annotations: found.map(({ index, confidence, box }, k) => ({
        id: k + 1,
        image_id: 1,
        category_id: index,
        bbox: [box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0],
        area: (box.x1 - box.x0) * (box.y1 - box.y0),
        iscrowd: 0,
        score: confidence,
      })),
      categories: [...names].sort(([one], [other]) => one - other).map(([id, name]) => ({ id, name, supercategory: "" })),
    },
    null,
    1,
  );
}

/** A box of the picture that was computed with, in whole pixels of the file, which may have more of them. */
export function scaled(box: Box, x: number, y: number): Box {
  return { x0: Math.round(box.x0 * x), y0: Math.round(box.y0 * y), x1: Math.round(box.x1 * x), y1: Math.round(box.y1 * y) };
}
