/**
 * The outline of an object at the photo's own resolution: an exact cut in a band around a coarse mask.
 *
 * `trace` keeps the labels far from the outline of the mask, and cuts the pixels near it by their colors, by contrast
 * and by the coarse log odds. It goes from coarse to fine: the wide band is cut at a fraction of the resolution, and
 * each finer resolution moves the outline found so far within a few pixels. Energies are in nats.
 */

import {
  both,
  type Costs,
  double,
  either,
  graphOf,
  labeled,
  movesOf,
  near,
  outlineOf,
  type Packed,
  pack,
  unitsOf,
} from "./band";
import type { OutlineConstants } from "./constants";
import { drain, type Graph, matchChains } from "./flow";
import { TERMINAL_LIMIT, unitsPerNat } from "./graphcut";
import { countOf } from "./grids";
import { colorsAt, density, fit, type Gaussian, improve, sample } from "./mixture";
import type { Grid, Mask } from "./types";

/** The mask of the last cut, and its energy: of the free pixels and the edges that end at one. */
export interface Outline {
  readonly mask: Mask;
  readonly energy: number;
}

/** The problem at one resolution. */
interface Level {
  readonly image: Float32Array; // RGB in [0, 1], three values per pixel
  readonly odds: Grid; // of foreground
  readonly mask: Mask; // the coarse one
  readonly mixed: Mask; // where a pixel stands for pixels of both labels
  readonly size: number; // of a pixel, in pixels of the image
  readonly decay: number; // of the cost of a border per squared color difference
}

/** What the cuts of a level share: how far `odds` go, the constants, and the draws that mixtures start from. */
interface Recipe {
  readonly largest: number;
  readonly how: OutlineConstants;
  readonly draws: readonly number[];
}

/** Of the background, and of the foreground. */
type Mixtures = readonly [readonly Gaussian[], readonly Gaussian[]];

/** What a cut leaves behind: any flow is a valid start of an exact cut, so the next one starts from it. */
interface Flow {
  readonly graph: Graph;
  readonly excess: Int32Array; // before the cut
  readonly shift: number;
}

/** What the cuts of one level have found so far. */
interface State {
  readonly labels: Mask;
  readonly mixtures: Mixtures | null;
  readonly energy: number;
}

/**
 * Moves the outline of a coarse mask to where colors change, within a band around it.
 *
 * `image`, `odds` and `mask` lie on the same grid. A full or an empty mask has no outline and is returned as it is.
 */
export function trace(
  image: Float32Array,
  odds: Grid,
  mask: Mask,
  how: OutlineConstants,
  draws: readonly number[],
): Outline {
  const width = how.band * Math.sqrt(countOf(mask));
  if (isUniform(mask) || !(width > 0)) return { mask, energy: 0 };
  const recipe = { how, draws, largest: odds.data.reduce((most, value) => Math.max(most, Math.abs(value)), 0) };
  const levels = levelsOf(image, odds, mask, width, how);
  const coarsest = levels[levels.length - 1];
  let wide = near(either(outlineOf(coarsest.mask), coarsest.mixed), (width + 0.5) / coarsest.size - 0.5);
  let state: State = { labels: coarsest.mask, mixtures: null, energy: 0 };
  state = cuts(coarsest, wide, state, how.rounds, recipe);
  for (const level of levels.slice(0, -1).reverse()) {
    const { rows, columns } = level.mask;
    const free = double(both(near(outlineOf(state.labels), how.narrow / 2), wide), rows, columns);
    wide = double(wide, rows, columns);
    state = cuts(level, free, { ...state, labels: double(state.labels, rows, columns) }, 1, recipe);
  }
  return { mask: state.labels, energy: state.energy };
}

/** Whether all pixels have one label. */
function isUniform(mask: Mask): boolean {
  const count = countOf(mask);
  return count === 0 || count === mask.data.length;
}

// ------------------------------------------------------------------------------------------------------------ levels

/** The problem at full resolution and at halves of it, while a band of that width is worth it. */
function levelsOf(image: Float32Array, odds: Grid, mask: Mask, width: number, how: OutlineConstants): Level[] {
  const mixed = { ...mask, data: new Uint8Array(mask.data.length) };
  const levels: Level[] = [{ image, odds, mask, mixed, size: 1, decay: decayOf(image, mask, how) }];
  for (;;) {
    const finer = levels[levels.length - 1];
    const isSmall = Math.max(finer.mask.rows, finer.mask.columns) <= how.coarsest;
    if (isSmall || width < 4 * how.narrow * finer.size) return levels;
    const coarser = halved(finer, how);
    if (isUniform(coarser.mask)) return levels;
    levels.push(coarser);
  }
}

/**
 * A level at half the size: colors and odds averaged, the label of most of each 2 x 2 pixels, and where labels mix.
 *
 * At the border of an odd size, the last row or column counts twice. Sums are in single precision, as the library's.
 */
function halved(finer: Level, how: OutlineConstants): Level {
  const [height, width] = [finer.mask.rows, finer.mask.columns];
  const [rows, columns] = [(height + 1) >> 1, (width + 1) >> 1];
  const image = new Float32Array(3 * rows * columns);
  const odds = { data: new Float32Array(rows * columns), rows, columns };
  const mask = { data: new Uint8Array(rows * columns), rows, columns };
  const mixed = { data: new Uint8Array(rows * columns), rows, columns };
  for (let y = 0, i = 0; y < rows; y++) {
    const [upper, lower] = [2 * y * width, Math.min(2 * y + 1, height - 1) * width];
    for (let x = 0; x < columns; x++, i++) {
      const [left, right] = [2 * x, Math.min(2 * x + 1, width - 1)];
      const [a, b, c, d] = [upper + left, upper + right, lower + left, lower + right];
      for (let k = 0; k < 3; k++) {
        const one = Math.fround(0.25 * (finer.image[3 * a + k] + finer.image[3 * c + k]));
        image[3 * i + k] = one + Math.fround(0.25 * (finer.image[3 * b + k] + finer.image[3 * d + k]));
      }
      const sum = Math.fround(Math.fround(finer.odds.data[a] + finer.odds.data[b]) + finer.odds.data[c]);
      odds.data[i] = 0.25 * Math.fround(sum + finer.odds.data[d]);
      const count = finer.mask.data[a] + finer.mask.data[b] + finer.mask.data[c] + finer.mask.data[d];
      mask.data[i] = count >= 2 ? 1 : 0;
      mixed.data[i] = finer.mixed.data[a] | finer.mixed.data[b] | finer.mixed.data[c] | finer.mixed.data[d];
      if (count > 0 && count < 4) mixed.data[i] = 1;
    }
  }
  return { image, odds, mask, mixed, size: 2 * finer.size, decay: decayOf(image, mask, how) };
}

/** How fast the cost of a border falls per squared color difference: by their mean over all neighbors. */
function decayOf(image: Float32Array, { rows, columns }: Mask, how: OutlineConstants): number {
  let total = 0;
  for (let y = 0, i = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++, i++) {
      if (x + 1 < columns) total += colorStep(image, i, i + 1);
      if (y + 1 < rows) total += colorStep(image, i, i + columns);
    }
  }
  const mean = total / Math.max(rows * (columns - 1) + (rows - 1) * columns, 1);
  return mean > 0 ? 1 / (how.contrast * mean) : 0;
}

/** The squared color difference of two pixels, in single precision, as the library's. */
function colorStep(image: Float32Array, one: number, other: number): number {
  const r = Math.fround(image[3 * one] - image[3 * other]);
  const g = Math.fround(image[3 * one + 1] - image[3 * other + 1]);
  const b = Math.fround(image[3 * one + 2] - image[3 * other + 2]);
  return Math.fround(Math.fround(Math.fround(r * r) + Math.fround(g * g)) + Math.fround(b * b));
}

// -------------------------------------------------------------------------------------------------------------- cuts

/** Fits the mixtures to the labels found so far and chooses the free ones anew, some times. */
function cuts(level: Level, free: Mask, before: State, rounds: number, recipe: Recipe): State {
  const { how, largest } = recipe;
  const packed = pack(free);
  // The cost of a border grows with its length, and that of labels with their area.
  const smoothness = how.smoothness / level.size;
  const scale = unitsPerNat(free.data.length * (how.color * how.clip + how.prior * largest), smoothness);
  const edges = borderUnits(level, packed, smoothness * scale);
  let state = before;
  let flow: Flow | null = null;
  for (let round = 0; round < rounds; round++) {
    if (packed.pixels.length === 0 || isUniform(state.labels)) break;
    const mixtures = mixturesOf(level.image, state.labels, state.mixtures, recipe);
    const costs = { terminal: labelUnits(level, packed, mixtures, scale, how), edges };
    flow = flowOf(packed, costs, state.labels, flow);
    const labels = labeled(state.labels, packed.pixels, drain(flow.graph));
    state = { labels, mixtures, energy: unitsOf(packed, costs, labels) / scale };
  }
  return state;
}

/** The graph of a cut, with the flow of the cut before. */
function flowOf(packed: Packed, costs: Costs, labels: Mask, before: Flow | null): Flow {
  // Half of what fits, since the flow of the cut before may bring as much again.
  const { shift, ...fresh } = graphOf(packed, costs, labels, TERMINAL_LIMIT / 2);
  const excess = fresh.excess.slice();
  const isReused = before !== null && before.shift === shift;
  if (isReused) excess.forEach((value, i) => (before.graph.excess[i] += value - before.excess[i]));
  const graph = isReused ? before.graph : fresh;
  matchChains(graph);
  return { graph, excess, shift };
}

/** Of the colors of each label; from the mixtures before, if there are any. */
function mixturesOf(image: Float32Array, labels: Mask, before: Mixtures | null, { how, draws }: Recipe): Mixtures {
  const mixture = (label: 0 | 1): readonly Gaussian[] => {
    const colors = sample(image, labels, label, how.samples);
    if (before === null) return fit(colors, draws.slice(0, how.components), how.iterations, how.covariance_floor);
    return improve(colors, before[label], how.updates, how.covariance_floor);
  };
  return [mixture(0), mixture(1)];
}

// ------------------------------------------------------------------------------------------------------------- terms

/** What labeling each free pixel background costs more than foreground, in units. */
function labelUnits(
  { image, odds }: Level,
  { pixels }: Packed,
  mixtures: Mixtures,
  scale: number,
  how: OutlineConstants,
): Int32Array {
  const colors = colorsAt(image, pixels);
  const [background, foreground] = mixtures.map((mixture) => density(colors, mixture));
  const likelihood = (density: number): number => how.uniform + (1 - how.uniform) * density;
  return pixels.map((pixel, p) => {
    const ratio = Math.log(likelihood(foreground[p]) / likelihood(background[p]));
    const byColor = how.color * scale * Math.min(Math.max(ratio, -how.clip), how.clip);
    return Math.floor(0.5 + byColor + how.prior * scale * odds.data[pixel]);
  });
}

/** What a border to each of four neighbors costs, in units, less where colors differ: four per free pixel. */
function borderUnits({ image, mask, decay }: Level, { pixels }: Packed, strength: number): Int32Array {
  const { rows, columns } = mask;
  const moves = movesOf(mask);
  const edges = new Int32Array(4 * pixels.length);
  for (let p = 0; p < pixels.length; p++) {
    const pixel = pixels[p];
    const x = pixel % columns;
    const exists = [x > 0, x + 1 < columns, pixel >= columns, pixel + columns < rows * columns];
    for (let k = 0; k < 4; k++) {
      if (!exists[k]) continue;
      const step = colorStep(image, pixel, pixel + moves[k]);
      edges[4 * p + k] = Math.floor(0.5 + strength * Math.exp(Math.max(-decay * step, -600)));
    }
  }
  return edges;
}
