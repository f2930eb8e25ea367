/** The threshold that separates values into the two most distinct groups (Otsu 1979). */

const BINS = 64;

/** The center of the bin at which the variance between both groups is largest. `values` must not be empty. */
export function otsu(values: Float32Array): number {
  const borders = bordersOf(values);
  const counts = histogram(values, borders);
  const centers = Float64Array.from(counts, (_, i) => Math.fround(borders[i + 1] + borders[i]) / 2);
  const shares = counts.map((count) => count / values.length);
  const mean = shares.reduce((sum, share, i) => sum + share * centers[i], 0);
  let [weight, moment, best, most] = [0, 0, 0, -Infinity];
  shares.forEach((share, i) => {
    weight += share;
    moment += share * centers[i];
    const between = (mean * weight - moment) ** 2 / (weight * (1 - weight) + 1e-9);
    if (between > most) [best, most] = [i, between];
  });
  return centers[best];
}

/** The borders of equal bins from the least to the largest value, in single precision, as those of NumPy. */
function bordersOf(values: Float32Array): Float32Array {
  let [low, high] = [values[0], values[0]];
  for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
  if (low === high) [low, high] = [low - 0.5, high + 0.5];
  const step = Math.fround(Math.fround(high - low) / BINS);
  const borders = Float32Array.from({ length: BINS + 1 }, (_, i) => Math.fround(i * step) + low);
  borders[BINS] = high;
  return borders;
}

/** How many values each bin has. All bins but the last are half-open. */
function histogram(values: Float32Array, borders: Float32Array): Float64Array {
  const counts = new Float64Array(BINS);
  const low = borders[0];
  const range = Math.fround(borders[BINS] - low);
  for (const value of values) {
    let bin = Math.min(Math.trunc(Math.fround(Math.fround(value - low) / range) * BINS), BINS - 1);
    if (value < borders[bin]) bin--;
    else if (value >= borders[bin + 1] && bin < BINS - 1) bin++;
    counts[bin]++;
  }
  return counts;
}
