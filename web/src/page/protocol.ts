/** What the page and its worker say to each other. */

import type { About, Box, Grid, Picture } from "../types";

/** How the network is computed, for the footer. */
export interface Engine {
  readonly name: "WebAssembly" | "WebGPU";
  readonly threads: number;
  readonly version: string; // of ONNX Runtime
}

/** An object as the page draws it, in pixels of the picture that the worker was given. */
export interface Outlined {
  readonly box: Box;
  readonly confidence: number;
  readonly path: string; // of SVG
}

export type Request =
  | { readonly kind: "open"; readonly model: string; readonly page: string; readonly thrifty: boolean }
  | { readonly kind: "photo"; readonly id: number; readonly picture: Picture }
  | { readonly kind: "class"; readonly id: number; readonly index: number };

export type Response =
  | { readonly kind: "progress"; readonly loaded: number; readonly total: number | null }
  | { readonly kind: "preparing" }
  | { readonly kind: "opened"; readonly about: About }
  | { readonly kind: "engine"; readonly engine: Engine }
  | {
      readonly kind: "looked"; // the first look at a photo: scores, and saliency of the likeliest classes
      readonly id: number;
      readonly logits: Float32Array;
      readonly probabilities: Float32Array;
      readonly chosen: readonly number[];
      readonly saliency: readonly Grid[];
    }
  | { readonly kind: "saliency"; readonly id: number; readonly index: number; readonly saliency: Grid | null }
  | { readonly kind: "objects"; readonly id: number; readonly index: number; readonly objects: readonly Outlined[] }
  | { readonly kind: "done"; readonly id: number }
  | { readonly kind: "failed"; readonly id: number | null; readonly message: string };
