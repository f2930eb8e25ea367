/** The cases that `tools/web_cases.py` wrote, decoded. */

import { readFileSync } from "node:fs";
import type { BestConstants } from "../src/constants";
import type { Features, Grid, Mask } from "../src/types";

/** An array: its values are the coded ones times the factor. */
export interface Coded {
  readonly kind: "bits" | "u1" | "i1" | "i2" | "f4";
  readonly shape: readonly number[];
  readonly factor: number;
  readonly data: string;
}

export const cases = JSON.parse(readFileSync(new URL("cases.json", import.meta.url), "utf-8")) as Record<string, any>;
export const constants = cases.constants as BestConstants;
export const draws = cases.draws as readonly number[];

export function bytesOf({ kind, shape, data }: Coded): Uint8Array {
  const bytes = new Uint8Array(Buffer.from(data, "base64"));
  if (kind !== "bits") return bytes;
  const size = shape.reduce((product, side) => product * side, 1);
  return Uint8Array.from({ length: size }, (_, i) => (bytes[i >> 3] >> (7 - (i & 7))) & 1);
}

export function valuesOf(coded: Coded): Float32Array {
  const bytes = bytesOf(coded);
  const kinds = { bits: Uint8Array, u1: Uint8Array, i1: Int8Array, i2: Int16Array, f4: Float32Array };
  return Float32Array.from(new kinds[coded.kind](bytes.buffer as ArrayBuffer), (value) => value * coded.factor);
}

export function gridOf(coded: Coded): Grid {
  const [rows, columns] = coded.shape.slice(-2);
  return { data: valuesOf(coded), rows, columns };
}

/** Several maps of one size. */
export function gridsOf(coded: Coded): Grid[] {
  const [count, rows, columns] = coded.shape;
  const data = valuesOf(coded);
  const area = rows * columns;
  return Array.from({ length: count }, (_, k) => ({ data: data.slice(k * area, (k + 1) * area), rows, columns }));
}

export function featuresOf(coded: Coded): Features {
  return { ...gridOf(coded), channels: coded.shape[0] };
}

export function maskOf(coded: Coded): Mask {
  const [rows, columns] = coded.shape;
  return { data: bytesOf(coded), rows, columns };
}

/** The largest difference of two lists of numbers, which have to be of one length. */
export function difference(one: ArrayLike<number>, other: ArrayLike<number>): number {
  if (one.length !== other.length) return Infinity;
  let most = 0;
  for (let i = 0; i < one.length; i++) most = Math.max(most, Math.abs(one[i] - other[i])); // a NaN stays one
  return most;
}

/** A list of cases, each with its number. */
export function numbered<T>(name: string): (readonly [number, T])[] {
  return (cases[name] as T[]).map((each, i) => [i, each] as const);
}

/** A generator of numbers in [0, 1): mulberry32. */
export function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
