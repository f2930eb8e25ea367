/** How similar a network's features are at any two positions: the graph along which seeds spread. */

import type { ContinuityConstants } from "./constants";
import { resizeChannels } from "./interpolate";
import type { Features } from "./types";

const [HIGH, WIDE] = [4, 2]; // rows and columns of a block of products, as many as fit the registers

/** How similar any two of `count` nodes are, count x count. */
export interface Kernel {
  readonly data: Float32Array;
  readonly count: number;
}

/** How similar any two nodes are: exp of the layers' mean cosine of centered features, over the temperature. */
export function featureKernel(
  layers: readonly Features[],
  rows: number,
  columns: number,
  how: ContinuityConstants,
): Kernel {
  const count = rows * columns;
  const data = new Float32Array(count * count);
  for (const layer of layers) addProducts(directions(resizeChannels(layer, rows, columns)), count, data);
  const share = 1 / (layers.length * how.temperature);
  for (let row = 0; row < count; row++) {
    for (let column = 0; column <= row; column++) {
      const similarity = Math.exp(data[row * count + column] * share);
      data[row * count + column] = data[column * count + row] = similarity;
    }
  }
  return { data, count };
}

/** The vectors of nodes, `length` values of each, one node after the other; some zeros follow for the last block. */
interface Vectors {
  readonly data: Float64Array;
  readonly length: number;
}

/** The features of each node as a vector of length 1, after the mean vector is taken away. */
function directions({ data, channels, rows, columns }: Features): Vectors {
  const count = rows * columns;
  const vectors = new Float64Array((count + HIGH) * channels);
  const squared = new Float64Array(count);
  for (let channel = 0; channel < channels; channel++) {
    const plane = data.subarray(channel * count, (channel + 1) * count);
    const mean = plane.reduce((sum, value) => sum + value, 0) / count;
    for (let node = 0; node < count; node++) {
      const value = Math.fround(plane[node] - mean);
      vectors[node * channels + channel] = value;
      squared[node] += value * value;
    }
  }
  for (let node = 0; node < count; node++) {
    const length = Math.sqrt(squared[node]) + 1e-6;
    for (let k = node * channels; k < (node + 1) * channels; k++) vectors[k] /= length;
  }
  return { data: vectors, length: channels };
}

/** Adds the dot product of any two of `count` vectors to `out`, count x count, on and below its diagonal. */
function addProducts(vectors: Vectors, count: number, out: Float32Array): void {
  const block = new Float64Array(HIGH * WIDE);
  for (let i = 0; i < count; i += HIGH) {
    for (let j = 0; j < i + HIGH; j += WIDE) {
      multiply(vectors, i, j, block);
      for (let row = i; row < Math.min(i + HIGH, count); row++) {
        for (let column = j; column <= Math.min(j + WIDE - 1, row); column++) {
          out[row * count + column] += block[(row - i) * WIDE + column - j];
        }
      }
    }
  }
}

/** The products of the vectors from i on with those from j on, HIGH x WIDE: each value is read once for all of them. */
function multiply({ data, length }: Vectors, i: number, j: number, block: Float64Array): void {
  const [a, b, c, d] = [i * length, (i + 1) * length, (i + 2) * length, (i + 3) * length];
  const [e, f] = [j * length, (j + 1) * length];
  let [ae, af, be, bf, ce, cf, de, df] = [0, 0, 0, 0, 0, 0, 0, 0];
  for (let k = 0; k < length; k++) {
    const left = data[e + k];
    const right = data[f + k];
    ae += data[a + k] * left;
    af += data[a + k] * right;
    be += data[b + k] * left;
    bf += data[b + k] * right;
    ce += data[c + k] * left;
    cf += data[c + k] * right;
    de += data[d + k] * left;
    df += data[d + k] * right;
  }
  block.set([ae, af, be, bf, ce, cf, de, df]);
}
