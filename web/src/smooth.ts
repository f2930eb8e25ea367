/** Gaussian smoothing of a map, as SciPy's `gaussian_filter` has it with `truncate=4`. */

const REACH = 4; // standard deviations

/** What lies beyond a border: the cell at it, or the cells before it in reverse. */
export type Border = "nearest" | "reflect";

type Floats = Float32Array | Float64Array;

/** Smooths `values`, rows x columns, in place: along columns, then along rows. `deviation` is in cells. */
export function smooth(values: Floats, rows: number, columns: number, deviation: number, border: Border): void {
  if (!(deviation > 0)) return;
  const weights = halfOfGaussian(deviation);
  for (let x = 0; x < columns; x++) smoothLine(values, x, columns, rows, weights, border);
  for (let y = 0; y < rows; y++) smoothLine(values, y * columns, 1, columns, weights, border);
}

/** The weights of the middle cell and of those to one side; both sides together sum to 1. */
function halfOfGaussian(deviation: number): Float64Array {
  const radius = Math.trunc(REACH * deviation + 0.5);
  const half = Float64Array.from({ length: radius + 1 }, (_, x) => Math.exp((-0.5 / (deviation * deviation)) * x * x));
  const total = half.reduce((sum, weight, x) => sum + (x === 0 ? weight : 2 * weight), 0);
  return half.map((weight) => weight / total);
}

/** Every `stride`-th value from `start` on, `count` of them. */
function smoothLine(
  values: Floats,
  start: number,
  stride: number,
  count: number,
  weights: Float64Array,
  border: Border,
): void {
  const radius = weights.length - 1;
  const line = new Float64Array(count + 2 * radius);
  for (let i = 0; i < line.length; i++) line[i] = values[start + stride * inside(i - radius, count, border)];
  for (let i = 0; i < count; i++) {
    let sum = line[i + radius] * weights[0];
    for (let k = radius; k > 0; k--) sum += (line[i + radius - k] + line[i + radius + k]) * weights[k];
    values[start + stride * i] = sum;
  }
}

/** The cell that stands for cell `i`, which may lie beyond either border. */
function inside(i: number, count: number, border: Border): number {
  if (border === "nearest") return Math.min(Math.max(i, 0), count - 1);
  const period = 2 * count;
  const folded = ((i % period) + period) % period;
  return folded < count ? folded : period - 1 - folded;
}
