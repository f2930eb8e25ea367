/** The worker: runs the network and the numerics, so that the page stays at hand meanwhile. */

import { segment, see } from "../localize";
import { outlinePaths } from "../outlines";
import { view } from "../resize";
import type { Found, Look, Network, Picture } from "../types";
import { binary, onWasm, onWebGpu, type Running } from "./engine";
import { load } from "./load";
import type { Outlined, Request, Response } from "./protocol";

const PATIENCE = 4000; // milliseconds in which the example is explained, before anything else is tried

/** Thrown inside a look at a photo that is not on the page any more. */
class Stopped extends Error {}

let running: Running | null = null;
let photo: Picture | null = null;
let wanted = 0; // the id of the photo on the page
let work: Promise<unknown> = Promise.resolve(); // one task after the other

self.addEventListener("message", ({ data }: MessageEvent<Request>) => {
  if (data.kind === "photo") wanted = data.id;
  work = work.then(() => done(data));
});

function say(response: Response): void {
  self.postMessage(response);
}

/** Does what was asked; an error becomes one line for the page. */
async function done(request: Request): Promise<void> {
  const id = request.kind === "open" ? null : request.id;
  if (id !== null && id !== wanted) return;
  try {
    if (request.kind === "open") await open(request);
    else if (request.kind === "photo") await look(request.id, request.picture);
    else await lookFor(request.id, request.index);
  } catch (error) {
    if (!(error instanceof Stopped)) say({ kind: "failed", id, message: error instanceof Error ? error.message : String(error) });
  }
}

async function open(request: Extract<Request, { kind: "open" }>): Promise<void> {
  const { model, page } = request;
  const [file, wasm] = await load([model, binary(page, "wasm")], (loaded, total) => say({ kind: "progress", loaded, total }));
  say({ kind: "preparing" });
  const bytes = new Uint8Array(file);
  running = await onWasm(page, bytes, wasm);
  say({ kind: "opened", about: running.network.about });
  say({ kind: "engine", engine: running.engine });
  if (!request.thrifty) setTimeout(() => void faster(page, bytes), PATIENCE);
}

/** Changes over to WebGPU, if that is better. Photos are looked at meanwhile, and the current one to its end as before. */
async function faster(page: string, bytes: Uint8Array): Promise<void> {
  if (running === null) return;
  const { network } = running;
  const other = await onWebGpu(page, bytes, network);
  if (other === null) return;
  running = other;
  work = work.then(() => network.close()).catch(() => undefined);
  say({ kind: "engine", engine: other.engine });
}

/** A new photo: scores and saliency as soon as they are there, then the objects of one class after the other. */
async function look(id: number, picture: Picture): Promise<void> {
  photo = picture;
  const network = needed(id);
  const [first] = await network.look([whole(network, picture)]);
  const { logits, probabilities, chosen } = first;
  say({ kind: "looked", id, logits, probabilities, chosen, saliency: first.saliency ?? [] });
  await objects(id, beginning(network, first), picture);
  say({ kind: "done", id });
}

/** One class more of the same photo. */
async function lookFor(id: number, index: number): Promise<void> {
  if (photo === null) return;
  const network = needed(id);
  const [first] = await network.look([whole(network, photo)], [[index]]);
  say({ kind: "saliency", id, index, saliency: first.saliency?.[0] ?? null });
  await objects(id, beginning(network, first), photo, [index]);
  say({ kind: "done", id });
}

async function objects(id: number, network: Network, picture: Picture, classes?: number[]): Promise<void> {
  const seen = await see(network, picture, classes);
  for (let k = 0; k < seen.classes.length; k++) {
    await breath();
    if (id !== wanted) throw new Stopped();
    say({ kind: "objects", id, index: seen.classes[k], objects: segment(network, seen, k).map(outlined) });
  }
}

function outlined(found: Found): Outlined {
  return { box: found.box, confidence: found.confidence, path: outlinePaths(found) };
}

/** A network that has had its first look already, at what `see` begins with: the whole photo, with the same classes. */
function beginning(network: Network, first: Look): Network {
  let given: Look[] | null = [first];
  return {
    about: network.about,
    look: async (pictures, classes) => {
      const looks = given ?? (await network.look(pictures, classes));
      given = null;
      return looks;
    },
  };
}

/** The whole photo at the network's own size. */
function whole({ about }: Network, picture: Picture): Picture {
  const region = { x0: 0, y0: 0, x1: picture.width, y1: picture.height };
  return view(picture, region, about.size[1], about.size[0], about.resample);
}

/** The network, for as long as the photo is on the page: its next look after that throws. */
function needed(id: number): Network {
  if (running === null) throw new Error("Expected a network before a photo.");
  const { network } = running;
  return {
    about: network.about,
    look: async (pictures, classes) => {
      await breath();
      if (id !== wanted) throw new Stopped();
      return network.look(pictures, classes);
    },
  };
}

/** Lets messages in: one of them may say that another photo is wanted. */
function breath(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

