/** An exported network, over any flavor of ONNX Runtime: onnxruntime-web and onnxruntime-node share the part used here. */

import { aboutOf } from "./metadata";
import type { About, Features, Grid, Look, Network, Picture } from "./types";

const LIKELIEST = -1; // as a first class: the likeliest five of each picture
const BATCH = 8; // pictures in one run, at most: the memory of a run grows with them

/** A tensor, as far as it is used here. */
export interface RuntimeTensor {
  readonly data: unknown;
  readonly dims: readonly number[];
  dispose?(): void;
}

/** A session, as far as it is used here. */
export interface RuntimeSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(feeds: never): Promise<Readonly<Record<string, RuntimeTensor>>>;
  release?(): Promise<void>;
}

/** A flavor of ONNX Runtime, such as `import * as ort from "onnxruntime-node"`. */
export interface Runtime {
  readonly InferenceSession: { create(bytes: Uint8Array, options?: never): Promise<RuntimeSession> };
  readonly Tensor: new (...given: never[]) => RuntimeTensor;
}

/** How a network is opened. */
export interface Options {
  readonly batch?: number; // pictures in one run, at most
  readonly session?: Readonly<Record<string, unknown>>; // passed on to ONNX Runtime, such as `executionProviders`
}

/** A network that holds memory until it is closed. */
export interface OpenNetwork extends Network {
  close(): Promise<void>;
}

/** Opens an exported ONNX file. Throws in one line for a file that deepinside did not export. */
export async function openNetwork(bytes: Uint8Array, ort: Runtime, options: Options = {}): Promise<OpenNetwork> {
  const about = aboutOf(bytes);
  const session = await ort.InferenceSession.create(bytes, options.session as never);
  const run = inTurn((pictures: readonly Picture[], classes: readonly (readonly number[])[]) =>
    runOnce(session, ort, about, pictures, classes),
  );
  return {
    about,
    close: async () => void (await session.release?.()),
    look: async (pictures, classes) => {
      const wanted = pictures.map((_, k) => classes?.[k] ?? [LIKELIEST]);
      const looks: Look[] = new Array(pictures.length);
      for (const group of groups(pictures, wanted, options.batch ?? BATCH)) {
        const found = await run(group.map((k) => pictures[k]), group.map((k) => wanted[k]));
        group.forEach((k, n) => (looks[k] = found[n]));
      }
      return looks;
    },
  };
}

/** The same function, one call after the other: a session runs once at a time. */
function inTurn<A extends unknown[], R>(work: (...given: A) => Promise<R>): (...given: A) => Promise<R> {
  let last: Promise<unknown> = Promise.resolve();
  return (...given) => {
    const next = last.then(() => work(...given));
    last = next.catch(() => undefined);
    return next;
  };
}

/** Which pictures go into a run together: of one size, and with as many classes. */
function groups(pictures: readonly Picture[], classes: readonly (readonly number[])[], most: number): number[][] {
  const found = new Map<string, number[][]>();
  pictures.forEach((picture, k) => {
    if (classes[k].length === 0) throw new Error("Expected at least one class for each picture, got none.");
    const key = `${picture.width} ${picture.height} ${classes[k].length} ${classes[k][0] === LIKELIEST}`;
    const lists = found.get(key) ?? [[]];
    if (lists[lists.length - 1].length >= most) lists.push([]);
    lists[lists.length - 1].push(k);
    found.set(key, lists);
  });
  return [...found.values()].flat();
}

/** One run of the session. */
async function runOnce(
  session: RuntimeSession,
  ort: Runtime,
  about: About,
  pictures: readonly Picture[],
  classes: readonly (readonly number[])[],
): Promise<Look[]> {
  const feeds = {
    images: images(ort, about, pictures),
    classes: tensor(ort, "int64", BigInt64Array.from(classes.flat(), BigInt), [classes.length, classes[0].length]),
  };
  const outputs = await session.run(feeds as never);
  try {
    return pictures.map((_, k) => lookOf(outputs, k));
  } finally {
    for (const one of [...Object.values(outputs), ...Object.values(feeds)]) one.dispose?.();
  }
}

function tensor(ort: Runtime, type: string, data: unknown, dims: readonly number[]): RuntimeTensor {
  return new ort.Tensor(...([type, data, dims] as never[]));
}

/** The pictures as the graph takes them: bytes as they are, or one plane per color, from 0 to 1. */
function images(ort: Runtime, about: About, pictures: readonly Picture[]): RuntimeTensor {
  const { width, height } = pictures[0];
  if (!about.sizes.some(([rows, columns]) => rows === height && columns === width)) {
    const sizes = about.sizes.map(([rows, columns]) => `${columns}x${rows}`).join(" or ");
    throw new Error(`Expected pictures of ${sizes} pixels, got ${width}x${height}.`);
  }
  const area = width * height;
  if (about.input === "uint8") {
    const data = new Uint8Array(pictures.length * 3 * area);
    pictures.forEach((picture, k) => data.set(picture.data, k * 3 * area));
    return tensor(ort, "uint8", data, [pictures.length, height, width, 3]);
  }
  const data = new Float32Array(pictures.length * 3 * area);
  pictures.forEach((picture, k) => planes(picture, data.subarray(k * 3 * area, (k + 1) * 3 * area)));
  return tensor(ort, "float32", data, [pictures.length, 3, height, width]);
}

/** Red, green and blue one after the other, from 0 to 1, into `out`. */
function planes({ data, width, height }: Picture, out: Float32Array): void {
  const area = width * height;
  for (let pixel = 0; pixel < area; pixel++) {
    for (let color = 0; color < 3; color++) out[color * area + pixel] = data[3 * pixel + color] / 255;
  }
}

type Outputs = Readonly<Record<string, RuntimeTensor>>;

/** What the outputs say of the picture `k`. Those that the graph has not, or that are empty, are left out. */
function lookOf(outputs: Outputs, k: number): Look {
  const saliency = gridsOf(outputs, "saliency", k);
  const seed = gridsOf(outputs, "seed", k);
  const evidence = gridsOf(outputs, "evidence", k);
  const fine = featuresOf(outputs, "fine", k);
  const middle = featuresOf(outputs, "middle", k);
  const isEven = rowOf(outputs, "is_even", k);
  return {
    logits: floats(needed(outputs, "logits", k)),
    probabilities: floats(needed(outputs, "probabilities", k)),
    chosen: Array.from(needed(outputs, "chosen", k), Number),
    ...(saliency && { saliency }),
    ...(seed && { seed }),
    ...(evidence && { evidence }),
    ...(isEven && { isEven: Array.from(isEven, Boolean) }),
    ...(fine && { fine }),
    ...(middle && { middle }),
  };
}

type Values = ArrayLike<number | bigint | boolean> & { subarray(from: number, to: number): Values };

/** The values of picture `k` of an output, or null where there are none. */
function rowOf(outputs: Outputs, name: string, k: number): Values | null {
  const output = outputs[name];
  if (output === undefined || output.dims.includes(0)) return null;
  const values = output.data as Values;
  const each = values.length / output.dims[0];
  return values.subarray(k * each, (k + 1) * each);
}

function needed(outputs: Outputs, name: string, k: number): Values {
  const row = rowOf(outputs, name, k);
  if (row === null) throw new Error(`Expected an output ${name} of the network, got none: export it again.`);
  return row;
}

/** A copy, since the runtime may use its memory again. */
function floats(values: Values): Float32Array {
  return Float32Array.from(values as ArrayLike<number>);
}

/** One map per class. */
function gridsOf(outputs: Outputs, name: string, k: number): Grid[] | undefined {
  const row = rowOf(outputs, name, k);
  if (row === null) return undefined;
  const [, count, rows, columns] = outputs[name].dims;
  const area = rows * columns;
  return Array.from({ length: count }, (_, n) => ({ data: floats(row.subarray(n * area, (n + 1) * area)), rows, columns }));
}

function featuresOf(outputs: Outputs, name: string, k: number): Features | undefined {
  const row = rowOf(outputs, name, k);
  if (row === null) return undefined;
  const [, channels, rows, columns] = outputs[name].dims;
  return { data: floats(row), channels, rows, columns };
}
