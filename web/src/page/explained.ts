/** What is known so far of the photo on the page. */

import type { About, Grid } from "../types";
import type { Boxed } from "./coco";
import { scaled } from "./coco";
import type { Photo } from "./decode";
import { nameOf } from "./format";
import type { Outlined } from "./protocol";

/** A photo and what the network says of it; filled while the worker answers. */
export interface Explained {
  readonly id: number;
  readonly photo: Photo;
  begun: number; // when the network began to look, in milliseconds of `performance.now`
  logits: Float32Array;
  probabilities: Float32Array;
  classes: number[]; // in the list: the likeliest, then those asked for
  readonly saliency: Map<number, Grid>;
  readonly objects: Map<number, readonly Outlined[]>;
  selected: number | null;
  second: number | null;
  done: boolean;
}

/** A photo of which nothing is known yet. */
export function unexplained(id: number, photo: Photo): Explained {
  return {
    id,
    photo,
    begun: 0,
    logits: new Float32Array(),
    probabilities: new Float32Array(),
    classes: [],
    saliency: new Map(),
    objects: new Map(),
    selected: null,
    second: null,
    done: false,
  };
}

/** The objects of a class, in pixels of the file. */
export function boxesOf(explained: Explained, about: About, index: number): Boxed[] {
  const { photo, objects } = explained;
  const x = photo.width / photo.picture.width;
  const y = photo.height / photo.picture.height;
  return (objects.get(index) ?? []).map(({ box, confidence }) => ({
    index,
    label: nameOf(about, index),
    confidence,
    box: scaled(box, x, y),
  }));
}

/** The classes whose saliency is on the page: one, or two side by side. */
export function shownClasses({ selected, second }: Explained): number[] {
  return [selected, second].filter((index) => index !== null);
}
