/** Connected components of a mask. */

import type { Mask } from "./types";

/** The component of each pixel, from 1 on in reading order of their first pixels, and 0 for background. */
export interface Components {
  readonly labels: Int32Array;
  readonly count: number;
}

/** Which neighbors are connected: the four at the sides, or those at the corners as well. */
export type Connectivity = 4 | 8;

export function components({ data, rows, columns }: Mask, connectivity: Connectivity): Components {
  const labels = new Int32Array(data.length);
  const stack = new Int32Array(data.length);
  let count = 0;
  for (let start = 0; start < data.length; start++) {
    if (!data[start] || labels[start] > 0) continue;
    labels[start] = ++count;
    stack[0] = start;
    for (let size = 1; size > 0; ) {
      const i = stack[--size];
      const x = i % columns;
      const y = (i - x) / columns;
      for (let v = Math.max(y - 1, 0); v <= Math.min(y + 1, rows - 1); v++) {
        for (let u = Math.max(x - 1, 0); u <= Math.min(x + 1, columns - 1); u++) {
          const j = v * columns + u;
          if (!data[j] || labels[j] > 0 || (connectivity === 4 && u !== x && v !== y)) continue;
          labels[j] = count;
          stack[size++] = j;
        }
      }
    }
  }
  return { labels, count };
}

/** The component with the largest sum of weights, the first of equal ones; an empty mask stays empty. */
export function largestComponent(mask: Mask, weights: Float32Array): Mask {
  const { labels, count } = components(mask, 4);
  if (count < 2) return mask;
  const sums = new Float64Array(count + 1);
  for (let i = 0; i < labels.length; i++) sums[labels[i]] += weights[i];
  let best = 1;
  for (let label = 2; label <= count; label++) if (sums[label] > sums[best]) best = label;
  return componentOf(mask, labels, best);
}

/** The pixels of one component. */
export function componentOf({ rows, columns }: Mask, labels: Int32Array, label: number): Mask {
  const data = new Uint8Array(labels.length);
  for (let i = 0; i < data.length; i++) if (labels[i] === label) data[i] = 1;
  return { data, rows, columns };
}
