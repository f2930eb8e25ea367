/**
 * Our localizer: it looks at the whole photo, then closer at what it found, and cuts the photo's own pixels.
 *
 * At the first look, what the network computes at a position tells better than color which object the position belongs
 * to; but its grid is coarse. So it looks again at a crop around what it found, until the object fills its view, and
 * leaves the outline to the colors of the pixels near it. It finds what `deepinside`, the Python library, finds.
 */

import { type BestConstants, constantsOf } from "./constants";
import { Frame, iou } from "./frame";
import { type Glance, glances, mainComponent, takesAnySize } from "./glance";
import { isFlat, maskWhere } from "./grids";
import { resizeSmoothly } from "./interpolate";
import { apart, boxOf, grown, isFilled, Lead, leadIn } from "./leads";
import { trace } from "./outline";
import { peaks } from "./peaks";
import { pixelsOf, view } from "./resize";
import { round } from "./round";
import type { Box, Found, Grid, Look, Mask, Network, Picture } from "./types";

/** The first look at the whole photo, and for each class its map, and its objects at their closest. */
export interface Seen {
  readonly first: Look;
  readonly maps: readonly Grid[]; // one per class, of the whole photo, between 0 and 1
  readonly classes: readonly number[];
  readonly frame: Frame; // of the maps
  readonly leads: readonly (readonly Lead[])[]; // for each class
  readonly photo: Picture;
}

/** What was found of one class. */
export interface Localized {
  readonly index: number;
  readonly label: string;
  readonly probability: number;
  readonly saliency: Grid; // between 0 and 1, on the cells of the coarse cut
  readonly objects: Found[];
}

/** A region that is worth a look, for classes, and the places of the leads that what it shows replaces. */
interface Crop {
  readonly region: Box;
  readonly places: (readonly [number, number])[];
  readonly classes: number[];
}

/** The network and the photo that are looked at. */
interface Scene {
  readonly network: Network;
  readonly photo: Picture;
  readonly constants: BestConstants;
}

/**
 * The whole photo, at each size of the network, with the gradients of its classes at two layers; then closer.
 *
 * `classes` are the likeliest five if left out. At most `most` objects of a class will be asked for, any number if it
 * is left out, and with 0 the maps alone.
 */
export async function see(
  network: Network,
  photo: Picture,
  classes?: readonly number[],
  most = Infinity,
): Promise<Seen> {
  const constants = constantsOf(network.about);
  const scene = { network, photo, constants };
  const whole = { x0: 0, y0: 0, x1: photo.width, y1: photo.height };
  const wanted = classes === undefined ? undefined : [[...new Set(classes)]];
  const [first] = await glances(network, photo, [whole], constants.scales, constants, wanted);
  const leads = first.classes.map((index) => [leadIn(first, index)].filter((lead) => lead !== null));
  if (most > 0) await follow(scene, leads);
  if (most > 1 && constants.objects > 1) {
    const others = await othersOf(scene, first, leads);
    await follow(scene, others);
    leads.forEach((mine, k) => (leads[k] = apartOf(mine, others[k], constants)));
  }
  return { first: first.first, maps: first.maps, classes: first.classes, frame: first.frame, leads, photo };
}

/**
 * The objects of the k-th class, the surest first, cut at the photo's own resolution.
 *
 * A class whose score depends on no position gets the whole photo if other classes do not; otherwise this throws.
 */
export function segment(network: Network, seen: Seen, k: number): Found[] {
  if (!isFlat(seen.maps[k])) return seen.leads[k].map((lead) => traced(network, seen.photo, lead));
  if (seen.maps.every(isFlat)) {
    throw new Error("The score of the class does not depend on where one looks, so there is nothing to localize.");
  }
  return [wholeView(seen, k)];
}

/** The objects of each class in a photo; `classes` and `most` are as `see` takes them. */
export async function localize(
  network: Network,
  photo: Picture,
  classes?: readonly number[],
  most?: number,
): Promise<Localized[]> {
  const seen = await see(network, photo, classes, most);
  return seen.classes.map((index, k) => ({
    index,
    label: network.about.labels[index] ?? `class ${index}`,
    probability: seen.first.probabilities[index],
    saliency: seen.maps[k],
    objects: most === 0 ? [] : segment(network, seen, k).slice(0, most),
  }));
}

// ----------------------------------------------------------------------------------------------------- closer looks

/** Replaces leads, of each class, by closer ones until each fills its view; the crops of a round go together. */
async function follow(scene: Scene, leads: Lead[][]): Promise<void> {
  for (let round = 0; round < scene.constants.closer; round++) {
    const crops = cropsOf(leads, scene.constants);
    if (crops.length === 0) return;
    const shown = await look(scene, crops);
    crops.forEach(({ places }, i) => {
      for (const [k, j] of places) leads[k][j] = closer(leads[k][j], shown[i], scene.constants.doubt);
    });
  }
}

/** The regions that are worth a closer look; leads whose regions agree share one. */
function cropsOf(leads: readonly (readonly Lead[])[], { margin, filled, agree }: BestConstants): Crop[] {
  const crops: Crop[] = [];
  leads.forEach((mine, k) =>
    mine.forEach((lead, j) => {
      const region = grown(lead.box, margin, lead.glance.frame);
      if (lead.isClosed || isFilled(region, lead, filled)) return;
      let shared = crops.find((crop) => iou(crop.region, region) >= agree);
      if (shared === undefined) crops.push((shared = { region, places: [], classes: [] }));
      shared.places.push([k, j]);
      shared.classes.push(lead.index);
    }),
  );
  return crops;
}

/** What the network says of each crop, all from one run. */
async function look(scene: Scene, crops: readonly Crop[], scale = 1): Promise<Glance[]> {
  if (crops.length === 0) return [];
  const { network, photo, constants } = scene;
  const classes = crops.map((crop) => [...new Set(crop.classes)]);
  return glances(network, photo, crops.map(({ region }) => region), [scale], constants, classes);
}

/** The object in a closer glance, or the lead as it was where the class is hardly seen any more. */
function closer(lead: Lead, glance: Glance, doubt: number): Lead {
  const found = leadIn(glance, lead.index);
  return found === null || found.confidence * doubt < lead.confidence ? lead.closed() : found;
}

// ---------------------------------------------------------------------------------------------------- other objects

/** Candidates for further objects of each class: peaks of a finer map of the photo, looked at closer. */
async function othersOf(scene: Scene, first: Glance, leads: readonly (readonly Lead[])[]): Promise<Lead[][]> {
  const others: Lead[][] = leads.map(() => []);
  const classes = first.classes.filter((_, k) => mayHaveOthers(first, k, leads[k], scene.constants));
  if (classes.length === 0) return others;
  const whole = { region: first.frame.region, places: [], classes };
  const hasLayers = first.first.seed !== undefined || first.first.evidence !== undefined;
  const isFiner = takesAnySize(scene.network.about) && hasLayers; // the image's own saliency is of one size only
  const [glance] = isFiner ? await look(scene, [whole], scene.constants.finer) : [first];
  const crops = leads.flatMap(([lead]) =>
    lead !== undefined && classes.includes(lead.index) ? cropsAtPeaks(glance, lead, scene.constants) : [],
  );
  const shown = await look(scene, crops);
  crops.forEach((crop, i) => {
    const lead = leadIn(shown[i], crop.classes[0]);
    if (lead !== null) others[first.classes.indexOf(lead.index)].push(lead);
  });
  return others;
}

/** Whether the object that was found is likely, and the first map has a peak outside of it. */
function mayHaveOthers(first: Glance, k: number, [lead]: readonly Lead[], constants: BestConstants): boolean {
  if (lead === undefined || lead.confidence < constants.likely) return false;
  const { persistence, least } = constants;
  return peaks(first.maps[k], persistence, least).some(({ mask }) => !lead.covers(first, mask));
}

/** Crops around the peaks of a class that lie outside of the object that was found. */
function cropsAtPeaks(glance: Glance, lead: Lead, constants: BestConstants): Crop[] {
  const { persistence, least, objects, margin } = constants;
  const map = glance.maps[glance.classes.indexOf(lead.index)];
  return peaks(map, persistence, least)
    .slice(0, objects)
    .filter(({ mask }) => !lead.covers(glance, mask))
    .map(({ mask }) => ({
      region: grown(boxOf(glance, mask), margin, glance.frame),
      places: [],
      classes: [lead.index],
    }));
}

/** The object of a class, if its map points anywhere, and further ones beside it. */
function apartOf([first]: readonly Lead[], others: readonly Lead[], constants: BestConstants): Lead[] {
  if (first === undefined) return [];
  return apart(first, others, constants.surer, constants.overlap).slice(0, constants.objects);
}

// --------------------------------------------------------------------------------------------------------- outlines

/** The outline of a lead at the photo's resolution, as far as its margin reaches. */
function traced({ about }: Network, photo: Picture, lead: Lead): Found {
  const { resolution, outline } = constantsOf(about);
  const frame = pixelFrame(photo, lead.glance.frame.region, resolution);
  const { width, height, region } = frame;
  const odds = resizeSmoothly(lead.cut.odds, height, width);
  const coarse = coarseMask(lead.cut.mask, height, width);
  const image = pixelsOf(view(photo, region, width, height, "box"));
  const found = trace(image, odds, coarse, outline, about.draws).mask;
  // Where the pixels have left nothing of it, the coarse mask stays.
  const mask = found.data.includes(1) ? mainComponent(found, odds) : coarse;
  return { box: frame.maskBox(mask), confidence: lead.confidence, mask, region };
}

/** A mask on another grid, smooth between its cells; never empty. */
function coarseMask(mask: Mask, rows: number, columns: number): Mask {
  const shares = resizeSmoothly({ ...mask, data: Float32Array.from(mask.data) }, rows, columns);
  const half = shares.data.reduce((most, value) => Math.max(most, value), 0);
  return maskWhere(shares, (value) => value >= Math.min(0.5, half));
}

/** A region on the photo's own pixels, or on fewer, so that the longer side has no more than `resolution`. */
function pixelFrame(photo: Picture, region: Box, resolution: number): Frame {
  const [wide, high] = [region.x1 - region.x0, region.y1 - region.y0];
  const share = Math.min(resolution / Math.max(wide, high), 1);
  const [width, height] = [wide, high].map((side) => Math.max(round(side * share), 1));
  return new Frame(photo.width, photo.height, region, width, height);
}

/** Everything that the network saw: for a class whose score depends on no position in particular. */
function wholeView({ first, frame, classes }: Seen, k: number): Found {
  const { region, width, height } = frame;
  const mask = { data: new Uint8Array(width * height).fill(1), rows: height, columns: width };
  return { box: frame.maskBox(mask), confidence: first.probabilities[classes[k]], mask, region };
}
