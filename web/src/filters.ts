/** The filters that pictures are resized with, as Pillow defines them: their support on each side, and their weight. */

import type { About } from "./types";

export type FilterName = About["resample"];

/** A filter with antialiasing: `weight(x)` is 0 where |x| is `support` or more. */
export interface Filter {
  readonly support: number;
  readonly weight: (x: number) => number;
}

/** All but `nearest`, which takes single pixels. */
export const FILTERS: Readonly<Record<Exclude<FilterName, "nearest">, Filter>> = {
  box: { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { support: 1, weight: (x) => Math.max(1 - Math.abs(x), 0) },
  hamming: { support: 1, weight: hamming },
  bicubic: { support: 2, weight: bicubic },
  lanczos: { support: 3, weight: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

function hamming(x: number): number {
  if (x === 0) return 1;
  if (Math.abs(x) >= 1) return 0;
  const angle = Math.abs(x) * Math.PI;
  return (Math.sin(angle) / angle) * (0.54 + 0.46 * Math.cos(angle));
}

/** Keys' cubic convolution with a = -1/2. */
function bicubic(x: number): number {
  const a = -0.5;
  const distance = Math.abs(x);
  if (distance < 1) return ((a + 2) * distance - (a + 3)) * distance * distance + 1;
  if (distance < 2) return (((distance - 5) * distance + 8) * distance - 4) * a;
  return 0;
}

function sinc(x: number): number {
  if (x === 0) return 1;
  return Math.sin(x * Math.PI) / (x * Math.PI);
}
