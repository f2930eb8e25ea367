/** Gaussian mixtures of colors: k-means++, expectation-maximization, and densities. */

import type { Mask } from "./types";

/** Colors as planes of red, green and blue. */
export type Planes = readonly [Float64Array, Float64Array, Float64Array];

/** A Gaussian over RGB; `covariance` is symmetric: rr, rg, rb, gg, gb, bb. */
export interface Gaussian {
  readonly weight: number;
  readonly mean: Color;
  readonly covariance: readonly [number, number, number, number, number, number];
}

type Color = readonly [number, number, number];

const FEWEST = 1e-6; // colors, below which a Gaussian stays as it was
const LEAST_WEIGHT = 1e-300; // whose logarithm is finite
const LARGEST_EXPONENT = 600; // of a density, so that it is never 0

/**
 * The colors of at most that many pixels with a label, evenly spaced in reading order.
 *
 * `image` has three values per pixel. Where pixels abound, only some rows are looked at.
 */
export function sample(image: Float32Array, mask: Mask, label: number, most: number): Planes {
  const { data, rows, columns } = mask;
  let stride = Math.max(1, Math.floor((rows * columns) / (16 * most)));
  let total = countIn(mask, label, stride);
  if (total < most && stride > 1) {
    stride = 1;
    total = countIn(mask, label, stride);
  }
  const count = Math.min(total, most);
  const chosen = new Int32Array(count);
  for (let y = 0, rank = 0, k = 0; y < rows && k < count; y += stride) {
    for (let i = y * columns; i < (y + 1) * columns && k < count; i++) {
      if (data[i] !== label) continue;
      if (rank === Math.floor(((2 * k + 1) * total) / (2 * count))) chosen[k++] = i;
      rank++;
    }
  }
  return colorsAt(image, chosen);
}

/** How many pixels of every `stride`-th row have a label. */
function countIn({ data, rows, columns }: Mask, label: number, stride: number): number {
  let count = 0;
  for (let y = 0; y < rows; y += stride) {
    for (let i = y * columns; i < (y + 1) * columns; i++) if (data[i] === label) count++;
  }
  return count;
}

/** The colors of pixels. */
export function colorsAt(image: Float32Array, pixels: Int32Array): Planes {
  const count = pixels.length;
  const planes = [new Float64Array(count), new Float64Array(count), new Float64Array(count)] as const;
  for (let p = 0; p < count; p++) {
    for (let color = 0; color < 3; color++) planes[color][p] = image[3 * pixels[p] + color];
  }
  return planes;
}

/** A mixture of at most `draws.length` Gaussians; each draw, in [0, 1), chooses the first color of one. */
export function fit(colors: Planes, draws: readonly number[], iterations: number, floor: number): Gaussian[] {
  const centers = spreadCenters(colors, draws);
  const covariance = [floor, 0, 0, floor, 0, floor] as const;
  const shares = sharesOfNearest(colors, centers);
  const first = centers.map((mean, k) => moments(colors, shares[k], floor, { weight: 0, mean, covariance }));
  return improve(colors, normalized(first), iterations, floor);
}

/** Rounds of expectation-maximization from a mixture that is given. */
export function improve(colors: Planes, before: readonly Gaussian[], iterations: number, floor: number): Gaussian[] {
  let mixture = [...before];
  for (let round = 0; round < iterations; round++) {
    const shares = mixture.map((one) => densityOf(colors, one));
    const total = sumOf(shares);
    for (const share of shares) for (let i = 0; i < total.length; i++) share[i] /= total[i];
    mixture = normalized(mixture.map((one, k) => moments(colors, shares[k], floor, one)));
  }
  return mixture;
}

/** The density of each color under a mixture. */
export function density(colors: Planes, mixture: readonly Gaussian[]): Float64Array {
  return sumOf(mixture.map((one) => densityOf(colors, one)));
}

/** k-means++: up to `draws.length` distinct colors, each drawn by its squared distance to the previous ones. */
export function spreadCenters(colors: Planes, draws: readonly number[]): Color[] {
  const count = colors[0].length;
  const squared = new Float64Array(count).fill(Infinity);
  const centers: Color[] = [];
  let chosen = Math.min(Math.trunc(draws[0] * count), count - 1);
  for (let k = 0; ; k++) {
    const center: Color = [colors[0][chosen], colors[1][chosen], colors[2][chosen]];
    centers.push(center);
    for (let i = 0; i < count; i++) squared[i] = Math.min(squared[i], squaredDistance(colors, i, center));
    const total = squared.reduce((sum, value) => sum + value, 0);
    if (k + 1 === draws.length || total === 0) return centers;
    chosen = drawn(squared, draws[k + 1] * total);
  }
}

/** The first value that is above 0 at which the sum exceeds `rest`, or the last one above 0. */
function drawn(values: Float64Array, rest: number): number {
  let chosen = -1;
  for (let i = 0, left = rest; i < values.length; i++) {
    if (values[i] === 0) continue;
    chosen = i;
    left -= values[i];
    if (left < 0) break;
  }
  return chosen;
}

function squaredDistance([red, green, blue]: Planes, i: number, center: Color): number {
  return (red[i] - center[0]) ** 2 + ((green[i] - center[1]) ** 2 + (blue[i] - center[2]) ** 2);
}

/** For each center, 1 for the colors that are nearest to it, and 0 for the others. */
function sharesOfNearest(colors: Planes, centers: readonly Color[]): Float64Array[] {
  const shares = centers.map(() => new Float64Array(colors[0].length));
  for (let i = 0; i < colors[0].length; i++) {
    let [best, least] = [0, Infinity];
    centers.forEach((center, k) => {
      const distance = squaredDistance(colors, i, center);
      if (distance < least) [best, least] = [k, distance];
    });
    shares[best][i] = 1;
  }
  return shares;
}

/** Mean and covariance of the colors, each weighted by its share, whose sum is the weight. */
function moments([red, green, blue]: Planes, share: Float64Array, floor: number, before: Gaussian): Gaussian {
  const [r0, g0, b0] = before.mean; // colors relative to the old mean, for precision
  let [weight, r, g, b] = [0, 0, 0, 0];
  let [rr, rg, rb, gg, gb, bb] = [0, 0, 0, 0, 0, 0];
  for (let i = 0; i < share.length; i++) {
    const p = share[i];
    const x = red[i] - r0;
    const y = green[i] - g0;
    const z = blue[i] - b0;
    weight += p;
    r += p * x;
    g += p * y;
    b += p * z;
    rr += p * x * x;
    rg += p * x * y;
    rb += p * x * z;
    gg += p * y * y;
    gb += p * y * z;
    bb += p * z * z;
  }
  if (weight < FEWEST) return { ...before, weight };
  [r, g, b] = [r / weight, g / weight, b / weight];
  const variance = (square: number, mean: number): number => Math.max(square / weight - mean * mean, 0) + floor;
  const covariance = [
    variance(rr, r),
    rg / weight - r * g,
    rb / weight - r * b,
    variance(gg, g),
    gb / weight - g * b,
    variance(bb, b),
  ] as const;
  return { weight, mean: [r0 + r, g0 + g, b0 + b], covariance };
}

/** With weights that sum to 1. */
function normalized(mixture: readonly Gaussian[]): Gaussian[] {
  const total = mixture.reduce((sum, { weight }) => sum + weight, 0);
  return mixture.map((one) => ({ ...one, weight: one.weight / total }));
}

/** The weighted density of each color under one Gaussian, by the Cholesky factor [a, 0, 0], [b, c, 0], [d, e, f]. */
function densityOf([red, green, blue]: Planes, { weight, mean, covariance }: Gaussian): Float64Array {
  const [rr, rg, rb, gg, gb, bb] = covariance;
  const a = Math.sqrt(rr);
  const [b, d] = [rg / a, rb / a];
  const c = Math.sqrt(gg - b * b);
  const e = (gb - d * b) / c;
  const f = Math.sqrt(bb - d * d - e * e);
  const scale = Math.log(Math.max(weight, LEAST_WEIGHT)) - Math.log(a * c * f) - 1.5 * Math.log(2 * Math.PI);
  const [perA, perC, perF] = [1 / a, 1 / c, 1 / f];
  const [r, g, s] = mean;
  const found = new Float64Array(red.length);
  for (let i = 0; i < found.length; i++) {
    const x = (red[i] - r) * perA;
    const y = (green[i] - g - b * x) * perC;
    const z = (blue[i] - s - d * x - e * y) * perF;
    const exponent = scale - 0.5 * (x * x + y * y + z * z);
    found[i] = Math.exp(Math.min(Math.max(exponent, -LARGEST_EXPONENT), LARGEST_EXPONENT));
  }
  return found;
}

function sumOf(lists: readonly Float64Array[]): Float64Array {
  const total = lists[0].slice();
  for (const list of lists.slice(1)) for (let i = 0; i < total.length; i++) total[i] += list[i];
  return total;
}
