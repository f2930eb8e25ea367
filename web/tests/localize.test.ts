import { describe, expect, test } from "vitest";
import { localize, see, segment } from "../src/localize";
import type { About, Found, Look, Network, Picture } from "../src/types";
import {
  bytesOf,
  cases,
  type Coded,
  constants,
  difference,
  draws,
  featuresOf,
  gridOf,
  gridsOf,
  maskOf,
  numbered,
} from "./cases";

/** What the network was shown, and what it said. */
interface Said {
  readonly picture: [number, number, number]; // width, height, and a sum of the bytes by their places
  readonly chosen: number[];
  readonly logits: number[];
  readonly saliency?: Coded;
  readonly seed?: Coded;
  readonly evidence?: Coded;
  readonly isEven?: boolean[];
  readonly fine?: Coded;
  readonly middle?: Coded;
}

interface Whole {
  readonly photo: Coded;
  readonly size: [number, number];
  readonly anySize: boolean;
  readonly looks: Said[];
  readonly classes: number[];
  readonly maps: Coded[];
  readonly objects: { box: number[]; confidence: number; region: number[]; mask: Coded }[][];
}

describe.each(numbered<Whole>("wholes"))("photo %i", (_, each) => {
  const [height, width] = each.photo.shape;
  const photo = { data: bytesOf(each.photo), width, height };

  test("the network is shown the same pixels, and the same objects are found", async () => {
    const network = recordedNetwork(each);
    const seen = await see(network, photo);
    expect(seen.classes).toEqual(each.classes);
    each.maps.forEach((map, k) => expect(difference(seen.maps[k].data, gridOf(map).data)).toBeLessThan(1e-5));
    each.objects.forEach((objects, k) => compare(segment(network, seen, k), objects));
  });

  test("one object of a class, and maps alone", async () => {
    const network = recordedNetwork(each);
    const one = await localize(network, photo, undefined, 1);
    expect(one.map(({ objects }) => objects.length)).toEqual(each.classes.map(() => 1));
    const none = await localize(network, photo, undefined, 0);
    expect(none.map(({ objects }) => objects.length)).toEqual(each.classes.map(() => 0));
  });
});

test("a class whose map is flat gets the whole photo, unless all are", async () => {
  const [each] = cases.wholes as Whole[];
  const [height, width] = each.photo.shape;
  const photo = { data: bytesOf(each.photo), width, height };
  const network = recordedNetwork(each, (look) => {
    const flat = (map: { data: Float32Array; rows: number; columns: number }, k: number) =>
      look.chosen[k] === each.classes[0] ? { ...map, data: map.data.map(() => 1) } : map;
    return { ...look, seed: look.seed?.map(flat) ?? [], evidence: look.evidence?.map(flat) ?? [] };
  });
  const seen = await see(network, photo, undefined, 0);
  expect(segment(network, seen, 0).map(({ box }) => box)).toEqual([{ x0: 0, y0: 0, x1: width, y1: height }]);
  const allFlat = { ...seen, maps: seen.maps.map((map) => ({ ...map, data: map.data.map(() => 0) })) };
  expect(() => segment(network, allFlat, 0)).toThrow("nothing to localize");
});

test("constants that a file lacks are told", async () => {
  const [each] = cases.wholes as Whole[];
  const network = recordedNetwork(each);
  const { margin: _, ...others } = network.about.constants;
  const poor = { ...network, about: { ...network.about, constants: others } };
  await expect(see(poor, { data: new Uint8Array(3), width: 1, height: 1 })).rejects.toThrow("margin");
});

function compare(found: Found[], objects: Whole["objects"][number]): void {
  expect(found.length).toBe(objects.length);
  objects.forEach((object, j) => {
    const { box, region, mask, confidence } = found[j];
    expect([box.x0, box.y0, box.x1, box.y1]).toEqual(object.box);
    expect([region.x0, region.y0, region.x1, region.y1]).toEqual(object.region);
    expect(mask).toEqual(maskOf(object.mask));
    expect(confidence).toBeCloseTo(object.confidence, 6);
  });
}

/** Says what was recorded for the same pixels and classes, and knows nothing else. */
function recordedNetwork(each: Whole, change: (look: Look) => Look = (look) => look): Network {
  const [height, width] = each.size;
  const sizes = each.anySize ? [each.size, [2 * height, 2 * width] as const] : [each.size];
  const about = { labels: [], size: each.size, sizes, resample: "bicubic", constants, draws } as unknown as About;
  return {
    about,
    look: async (pictures, classes) =>
      pictures.map((picture, i) => change(lookOf(said(each.looks, picture, classes?.[i])))),
  };
}

function said(looks: Said[], picture: Picture, classes: readonly number[] | undefined): Said {
  const key = [picture.width, picture.height, sumOf(picture)].join();
  const fits = ({ chosen }: Said): boolean => classes === undefined || [...new Set(chosen)].join() === classes.join();
  const found = looks.find((one) => one.picture.join() === key && fits(one));
  if (found === undefined) throw new Error(`Nobody has shown the network ${key} for the classes ${classes?.join()}.`);
  return found;
}

/** As `weights_of` in `tools/web_cases.py`. */
function sumOf({ data }: Picture): number {
  let sum = 0;
  data.forEach((value, i) => (sum += value * ((i % 251) + 1)));
  return sum % 2 ** 31;
}

function lookOf(one: Said): Look {
  const powers = one.logits.map(Math.exp);
  const total = powers.reduce((sum, power) => sum + power, 0);
  const chosen = [...new Set(one.chosen)];
  return {
    logits: Float32Array.from(one.logits),
    probabilities: Float32Array.from(powers, (power) => power / total),
    chosen,
    ...(one.saliency && { saliency: gridsOf(one.saliency) }),
    ...(one.seed && { seed: gridsOf(one.seed) }),
    ...(one.evidence && { evidence: gridsOf(one.evidence) }),
    ...(one.isEven && { isEven: one.isEven }),
    ...(one.fine && { fine: featuresOf(one.fine) }),
    ...(one.middle && { middle: featuresOf(one.middle) }),
  };
}
