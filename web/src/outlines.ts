/** The outline of a mask as a path of SVG, along the edges of its pixels. */

import type { Found, Mask } from "./types";

type Point = readonly [number, number]; // x and y of a corner, in pixels of the mask

/** From a corner, by direction: right, down, left, up. Foreground is on the right hand. */
const STEPS: readonly Point[] = [
  [1, 0],
  [0, 1],
  [-1, 0],
  [0, -1],
];

/** The path `d` around an object, and around its holes, in photo pixels; to be filled by the rule `evenodd`. */
export function outlinePaths({ mask, region }: Found): string {
  const [x, y] = [(region.x1 - region.x0) / mask.columns, (region.y1 - region.y0) / mask.rows];
  const place = ([column, row]: Point): string => `${short(region.x0 + column * x)} ${short(region.y0 + row * y)}`;
  return loops(mask)
    .map((loop) => `M${loop.map(place).join("L")}Z`)
    .join("");
}

/** Closed lines of corners, each with the turns of the outline only. */
function loops(mask: Mask): Point[][] {
  const isUsed = new Uint8Array(mask.data.length); // the upper edge of a pixel, to the right
  const found: Point[][] = [];
  for (let i = 0; i < mask.data.length; i++) {
    const [x, y] = [i % mask.columns, Math.floor(i / mask.columns)];
    if (isUsed[i] || !isForeground(mask, x, y) || isForeground(mask, x, y - 1)) continue;
    found.push(loopFrom(mask, [x, y], isUsed));
  }
  return found;
}

/** The loop that begins along the upper edge of a pixel; where two pixels touch at a corner, it stays with its own. */
function loopFrom(mask: Mask, start: Point, isUsed: Uint8Array): Point[] {
  const turns: Point[] = [];
  let [[x, y], direction] = [start, 0];
  do {
    if (direction === 0) isUsed[y * mask.columns + x] = 1;
    x += STEPS[direction][0];
    y += STEPS[direction][1];
    const next = turned(mask, x, y, direction);
    if (next !== direction) turns.push([x, y]);
    direction = next;
  } while (x !== start[0] || y !== start[1] || direction !== 0);
  return turns;
}

/** The direction in which the outline leaves a corner that it has reached in another one. */
function turned(mask: Mask, x: number, y: number, direction: number): number {
  const [dx, dy] = STEPS[direction];
  const ahead = (side: number): boolean => {
    // The pixel ahead on the right (1) or left (-1): half a step forwards, and half a step to that side.
    const [px, py] = [x + (dx - side * dy - 1) / 2, y + (dy + side * dx - 1) / 2];
    return isForeground(mask, px, py);
  };
  if (!ahead(1)) return (direction + 1) % 4;
  return ahead(-1) ? (direction + 3) % 4 : direction;
}

function isForeground({ data, rows, columns }: Mask, x: number, y: number): boolean {
  return x >= 0 && y >= 0 && x < columns && y < rows && data[y * columns + x] === 1;
}

/** At most two digits after the point. */
function short(value: number): string {
  return String(Math.round(value * 100) / 100);
}
