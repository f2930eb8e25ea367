/** ONNX Runtime in the worker: WebAssembly for everybody, WebGPU where it computes the same and is faster. */

import { openNetwork, type OpenNetwork, type Runtime } from "../network";
import type { Engine } from "./protocol";

const MOST_THREADS = 8; // more of them wait for each other
const AGREEMENT = 0.02; // of the largest logit's magnitude: what the two may differ by
const ERRORS = 3; // what ONNX Runtime logs: no advice for those who write networks

type Ort = typeof import("onnxruntime-web");

/** A network, and what it runs on. */
export interface Running {
  readonly network: OpenNetwork;
  readonly engine: Engine;
}

/** What the flavors are called in the folder `ort`, see `vite.config.ts`. */
type Flavor = "wasm" | "webgpu";

/** The address of the WebAssembly of a flavor. */
export function binary(page: string, flavor: Flavor): string {
  return new URL(`ort/${flavor}.wasm`, page).href;
}

/** How many threads the page may use: one, unless it is isolated from other origins. */
function threads(): number {
  return self.crossOriginIsolated ? Math.max(1, Math.min(MOST_THREADS, navigator.hardwareConcurrency || 1)) : 1;
}

async function runtime(page: string, flavor: Flavor, wasm: ArrayBuffer | null): Promise<Ort> {
  const ort = (await import(/* @vite-ignore */ new URL(`ort/ort.${flavor}.js`, page).href)) as Ort;
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = flavor === "wasm" ? threads() : 1; // one pool of threads is enough
  ort.env.wasm.wasmPaths = { mjs: new URL(`ort/${flavor}.js`, page).href, wasm: binary(page, flavor) };
  if (wasm) ort.env.wasm.wasmBinary = wasm;
  return ort;
}

/**
 * Opens a network on WebAssembly. Further optimization of the graph takes seconds here, and makes gradients slower: a look
 * took 2.3 s with all of it and 1.3 s with the basic part, for lite0 on one core.
 */
export async function onWasm(page: string, model: Uint8Array, wasm: ArrayBuffer): Promise<Running> {
  const ort = await runtime(page, "wasm", wasm);
  const session = { executionProviders: ["wasm"], graphOptimizationLevel: "basic", logSeverityLevel: ERRORS };
  const network = await openNetwork(model, ort as unknown as Runtime, { session });
  return { network, engine: { name: "WebAssembly", threads: threads(), version: ort.env.versions.web ?? "" } };
}

/** Opens it on WebGPU, or returns null where that is missing, does not agree with `other`, or is not faster. */
export async function onWebGpu(page: string, model: Uint8Array, other: OpenNetwork): Promise<Running | null> {
  if (!("Suspending" in WebAssembly) || !(await adapter())) return null;
  let network: OpenNetwork | null = null;
  try {
    const ort = await runtime(page, "webgpu", null);
    network = await openNetwork(model, ort as unknown as Runtime, { session: { executionProviders: ["webgpu", "wasm"], logSeverityLevel: ERRORS } });
    await timed(network); // compiles its programs
    const fast = await timed(network);
    const slow = await timed(other);
    if (fast.time < slow.time && agree(fast.logits, slow.logits)) {
      return { network, engine: { name: "WebGPU", threads: 1, version: ort.env.versions.web ?? "" } };
    }
  } catch {
    // a driver without what the network needs
  }
  await network?.close().catch(() => undefined);
  return null;
}

/** What is asked of an adapter here; older browsers tell it in another place. */
interface Adapter {
  readonly isFallbackAdapter?: boolean;
  readonly info?: { readonly isFallbackAdapter?: boolean };
}

/** Whether there is a graphics processor that is one: an emulated one is slower than WebAssembly. */
async function adapter(): Promise<boolean> {
  const gpu = (navigator as { gpu?: { requestAdapter(): Promise<Adapter | null> } }).gpu;
  try {
    const found = await gpu?.requestAdapter();
    return found != null && !(found.isFallbackAdapter || found.info?.isFallbackAdapter);
  } catch {
    return false;
  }
}

/** A look at a gradual picture, at one class. */
async function timed(network: OpenNetwork): Promise<{ time: number; logits: Float32Array }> {
  const [height, width] = network.about.size;
  const data = Uint8Array.from({ length: 3 * width * height }, (_, k) => (k / 97) % 256);
  const begin = performance.now();
  const [{ logits }] = await network.look([{ data, width, height }], [[0]]);
  return { time: performance.now() - begin, logits };
}

/** Whether all logits are nearly the same. */
export function agree(some: Float32Array, others: Float32Array): boolean {
  const top = others.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-6);
  return some.length === others.length && some.every((value, k) => Math.abs(value - others[k]) <= AGREEMENT * top);
}
