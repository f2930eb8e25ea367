/** The constants of the preset `best`, with types: an exported file brings their values, so that none stands twice. */

import type { About } from "./types";

/** How far and along what a seed spreads; `cut/continuity.py` of the library says what each is. */
export interface ContinuityConstants {
  readonly floor: number; // of a map's mean, added before the logarithm
  readonly blur: number; // cells
  readonly level: number; // of the seed's Otsu threshold: even odds
  readonly sharpness: number; // the power of a seed's confidence that weighs it
  readonly temperature: number; // of exp(cosine / temperature)
  readonly slope: number; // log odds per unit of evidence
  readonly clip: number; // bound of the log odds of a node
  readonly node: number; // pixels of a node of the feature graph
  readonly cell: number; // pixels of a cell of the cut
  readonly edge: number; // what a border between equal neighbors costs, in nats
  readonly side: number; // of the evidence, taken away at the sides of a crop
  readonly fade: number; // of the crop, how far from its sides that has fallen e times
}

/** How far an outline may move, and what it follows; `cut/outline.py` of the library says what each is. */
export interface OutlineConstants {
  readonly band: number; // on each side, in multiples of the square root of the mask's area
  readonly coarsest: number; // pixels a side at which the wide band is cut
  readonly narrow: number; // pixels on each side that are free at each finer resolution
  readonly components: number; // Gaussians in each of the two mixtures
  readonly color: number; // weight of the log odds by color
  readonly prior: number; // weight of the coarse log odds
  readonly smoothness: number; // nats for a border between two pixels of equal color
  readonly contrast: number; // squared color difference, in multiples of its mean, at which a border is e times cheaper
  readonly rounds: number; // cuts of the wide band
  readonly clip: number; // bound of a pixel's log odds by color
  readonly uniform: number; // weight of a uniform density in the likelihood of a color
  readonly samples: number; // largest number of colors that a mixture is fitted to
  readonly iterations: number; // of expectation-maximization at first
  readonly updates: number; // the same for each later cut
  readonly covariance_floor: number; // added to each variance
}

/** How objects are found; `explanations/by_features.py` of the library says what each is. */
export interface BestConstants {
  readonly scales: readonly number[]; // times the network's size, for the whole photo
  readonly closer: number; // looks after the first, at most
  readonly margin: number; // of the found box, left on each side for a closer look
  readonly filled: number; // an object fills its view when the next one would be hardly smaller, by their areas
  readonly doubt: number; // times less likely: a closer look does not see the object any more
  readonly objects: number; // of a class, at most
  readonly likely: number; // probability from which a second object is looked for
  readonly finer: number; // times the network's size, where peaks are looked for
  readonly persistence: number; // of peaks
  readonly least: number; // height of a peak, in shares of the highest one's
  readonly surer: number; // least confidence of a further object, in shares of the surest one's
  readonly overlap: number; // of two objects, at most
  readonly agree: number; // crops whose intersection over union is so large are looked at together
  readonly resolution: number; // pixels a side, at most, at which an outline is cut
  readonly continuity: ContinuityConstants;
  readonly outline: OutlineConstants;
}

const OWN = "closer margin filled doubt objects likely finer persistence least surer overlap agree resolution";
const CONTINUITY = "floor blur level sharpness temperature slope clip node cell edge side fade";
const OUTLINE =
  "band coarsest narrow components color prior smoothness contrast rounds clip uniform samples iterations updates " +
  "covariance_floor";

/** The constants of an exported file. Throws in one line if one is missing. */
export function constantsOf(about: About): BestConstants {
  const { scales, continuity, outline } = about.constants;
  if (!Array.isArray(scales) || scales.length === 0) throw missing("scales");
  require(about.constants, OWN, "");
  require(continuity, CONTINUITY, "continuity.");
  require(outline, OUTLINE, "outline.");
  return about.constants as unknown as BestConstants;
}

function require(group: unknown, names: string, prefix: string): void {
  const values = (group ?? {}) as Readonly<Record<string, unknown>>;
  for (const name of names.split(" ")) if (typeof values[name] !== "number") throw missing(prefix + name);
}

function missing(name: string): Error {
  return new Error(`Expected the constant ${name} in the file of the network, got none: export it again.`);
}
