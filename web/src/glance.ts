/**
 * What a network says of one region of a photo: its scores, and for each class a map and a coarse cut.
 *
 * The region is squeezed to the network's size, and to larger ones where the network takes them. `glances` shows
 * several regions at once, and `coarseCut` extends a class's map along continuity of features and color.
 */

import { largestComponent } from "./components";
import type { BestConstants, ContinuityConstants } from "./constants";
import { continuityEdges, type Edges, logOdds, seedMap } from "./continuity";
import { Frame } from "./frame";
import { minimumCut } from "./graphcut";
import { maskWhere } from "./grids";
import { resizeChannels } from "./interpolate";
import { lab } from "./lab";
import { pixelsOf, view } from "./resize";
import { round } from "./round";
import { featureKernel, type Kernel } from "./similarity";
import type { About, Box, Features, Grid, Look, Mask, Network, Picture } from "./types";

const FEWEST = 4; // cells of the cut on a side, for a network that takes pictures of a few pixels
const LIKELIEST = 0.95; // the quantile of the log odds above which cells stand for an empty cut

/** A coarse mask on the cells of a glance, the component with the most evidence, and the log odds of foreground. */
export interface Coarse {
  readonly odds: Grid;
  readonly mask: Mask;
}

/** What is computed of the looks waits until it is asked for, and is then the same for all classes. */
export class Glance {
  readonly maps: readonly Grid[]; // of each class, all its layers' maps as one, between 0 and 1
  private readonly rows: number; // of the nodes, coarser than the cells
  private readonly columns: number;
  private kernel: Kernel | null = null; // how similar any two nodes are
  private edges: Edges | null = null; // what a border between neighbor cells costs
  private readonly cuts: (Coarse | undefined)[] = []; // of each class

  constructor(
    readonly first: Look, // at the smallest size, with the features
    readonly classes: readonly number[],
    readonly frame: Frame, // of the cells
    layerMaps: readonly (readonly Grid[])[], // of each class
    private readonly pixels: Float32Array, // RGB in [0, 1] of each cell
    private readonly how: ContinuityConstants,
  ) {
    this.maps = layerMaps.map((maps) => seedMap(maps, frame.height, frame.width, how));
    this.rows = Math.max(round((frame.height * how.cell) / how.node), 1);
    this.columns = Math.max(round((frame.width * how.cell) / how.node), 1);
  }

  /** The cut of the k-th class's map, which must not be flat, by features and color. */
  coarseCut(k: number): Coarse {
    return (this.cuts[k] ??= this.newCut(k));
  }

  private newCut(k: number): Coarse {
    this.kernel ??= featureKernel(this.layers(), this.rows, this.columns, this.how);
    this.edges ??= this.newEdges();
    const weights = sides(this.frame, this.how);
    const seed = { ...this.maps[k], data: this.maps[k].data.map((value, i) => value * weights[i]) };
    const odds = logOdds(seed, this.kernel, this.rows, this.columns, this.how);
    const { mask } = minimumCut(odds, this.edges);
    // An empty cut does not answer where the object is; the likeliest cells do.
    const edge = mask.data.includes(1) ? 0 : quantile(odds.data, LIKELIEST);
    const foreground = mask.data.includes(1) ? mask : maskWhere(odds, (value) => value >= edge);
    return { odds, mask: mainComponent(foreground, odds) };
  }

  /** The activations of the fine and the middle layer; colors stand in for a network without a grid. */
  private layers(): Features[] {
    const found = featuresOf(this.first);
    if (found.length > 0) return found;
    const { width: columns, height: rows } = this.frame;
    const colors = lab(this.pixels);
    const data = colors.map((_, i) => colors[3 * (i % (rows * columns)) + Math.floor(i / (rows * columns))]);
    return [{ data, channels: 3, rows, columns }];
  }

  private newEdges(): Edges {
    const { width, height } = this.frame;
    const [fine] = featuresOf(this.first);
    const features = fine === undefined ? null : resizeChannels(fine, height, width);
    return continuityEdges(this.pixels, height, width, features, this.how.edge);
  }
}

/**
 * What the network says of regions of a photo, all in one run at each of the `scales`, times its size.
 *
 * A network of a fixed size is shown the first scale only. `classes`, of each region, are the likeliest if left out.
 */
export async function glances(
  network: Network,
  photo: Picture,
  regions: readonly Box[],
  scales: readonly number[],
  constants: BestConstants,
  classes?: readonly (readonly number[])[],
): Promise<Glance[]> {
  const { about } = network;
  const looks: Look[][] = [];
  for (const [height, width] of sizesOf(about, scales)) {
    const pictures = regions.map((region) => view(photo, region, width, height, about.resample));
    looks.push(await network.look(pictures, looks.length > 0 ? looks[0].map(({ chosen }) => chosen) : classes));
  }
  return regions.map((region, i) => glanceOf(about, photo, region, looks.map((look) => look[i]), constants.continuity));
}

/** Whether a network takes pictures of more than one size. */
export function takesAnySize({ sizes }: About): boolean {
  return sizes.length > 1;
}

/** The component with the most evidence: the largest sum of probabilities of foreground. */
export function mainComponent(mask: Mask, odds: Grid): Mask {
  return largestComponent(mask, odds.data.map((value) => 1 / (1 + Math.exp(-value))));
}

function glanceOf(
  about: About,
  photo: Picture,
  region: Box,
  looks: readonly Look[],
  how: ContinuityConstants,
): Glance {
  const [height, width] = about.size.map((side) => Math.max(round(side / how.cell), FEWEST));
  const frame = new Frame(photo.width, photo.height, region, width, height);
  const pixels = pixelsOf(view(photo, region, width, height, "box"));
  const [first] = looks;
  const maps = first.chosen.map((_, k) => looks.flatMap((look) => layerMaps(look, k)));
  return new Glance(first, first.chosen, frame, maps, pixels, how);
}

/** Heights and widths. Every one but the network's own is a multiple of 32, which every stage halves evenly. */
function sizesOf(about: About, scales: readonly number[]): (readonly [number, number])[] {
  const [height, width] = about.size;
  const multiple = (side: number, scale: number): number => Math.max(round((side * scale) / 32), 1) * 32;
  const all = scales.map((scale) =>
    scale === 1 ? about.size : ([multiple(height, scale), multiple(width, scale)] as const),
  );
  return takesAnySize(about) ? all : all.slice(0, 1);
}

/**
 * Of the k-th class of a look, the gradient's magnitude at the seed layer, and the evidence at the last.
 *
 * The evidence is a map of the class only where the gradient is the same at every position, as before global average
 * pooling; after a dense layer that weighs each position on its own, it is left out. A network with neither layer has
 * the saliency of the image, at its own size.
 */
function layerMaps({ seed, evidence, isEven, saliency }: Look, k: number): Grid[] {
  if (seed === undefined && evidence === undefined) return saliency === undefined ? [] : [saliency[k]];
  const maps = seed === undefined ? [] : [seed[k]];
  if (evidence !== undefined && (isEven?.[k] || maps.length === 0)) maps.push(evidence[k]);
  return maps;
}

/** The activations of the fine and the middle layer, of those there are. */
function featuresOf({ fine, middle }: Look): Features[] {
  return [fine, middle].filter((layer) => layer !== undefined);
}

/** A weight of each cell: less near a side that cuts through the photo, since a margin was left there. */
function sides({ region, photoWidth, photoHeight, width, height }: Frame, how: ContinuityConstants): Float32Array {
  const down = weightsAlong(height, region.y0 > 0, region.y1 < photoHeight, how);
  const across = weightsAlong(width, region.x0 > 0, region.x1 < photoWidth, how);
  const weight = (i: number): number => Math.min(down[Math.floor(i / width)], across[i % width]);
  return Float32Array.from({ length: width * height }, (_, i) => weight(i));
}

/** Along one axis, where the crop has a margin before its first and after its last cell. */
function weightsAlong(count: number, before: boolean, after: boolean, how: ContinuityConstants): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => {
    const at = (i + 0.5) / count;
    const near = (before ? Math.exp(-at / how.fade) : 0) + (after ? Math.exp((at - 1) / how.fade) : 0);
    return 1 - how.side * Math.min(near, 1);
  });
}

/** The value below which a share of all values lies, between two of them where it falls there. */
function quantile(values: Float32Array, share: number): number {
  const sorted = values.slice().sort();
  const at = share * (sorted.length - 1);
  const [low, high] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]];
  return low + (high - low) * (at % 1);
}
