/** Small questions about maps and masks. */

import type { Grid, Mask } from "./types";

/** How many pixels of a mask are foreground. */
export function countOf({ data }: Mask): number {
  let count = 0;
  for (const value of data) count += value;
  return count;
}

/** Whether a map is the same everywhere, so that it points nowhere. */
export function isFlat({ data }: Grid): boolean {
  return data.every((value) => value === data[0]);
}

/** A mask of the cells for which `is` holds. */
export function maskWhere(map: Grid, is: (value: number, i: number) => boolean): Mask {
  const data = new Uint8Array(map.data.length);
  for (let i = 0; i < data.length; i++) if (is(map.data[i], i)) data[i] = 1;
  return { data, rows: map.rows, columns: map.columns };
}
