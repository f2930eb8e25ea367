/** What Node programs import from `deepinside.mjs`: the numerics of the page, over the ONNX Runtime that they bring. */

export { openNetwork, type OpenNetwork, type Options, type Runtime } from "./network";
export { aboutOf } from "./metadata";
export { localize, see, segment } from "./localize";
export { outlinePaths } from "./outlines";
export { view } from "./resize";
export type * from "./types";
