/** What the parts of the page say to each other. Pictures are RGB, 8 bits, row by row; grids are row by row as well. */

/** A picture: `data` has `3 * width * height` values from 0 to 255. */
export interface Picture {
  readonly data: Uint8Array | Uint8ClampedArray;
  readonly width: number;
  readonly height: number;
}

/** A map: `data` has `rows * columns` values. */
export interface Grid {
  readonly data: Float32Array;
  readonly rows: number;
  readonly columns: number;
}

/** The activations of a layer: `data` has `channels * rows * columns` values, one channel after the other. */
export interface Features extends Grid {
  readonly channels: number;
}

/** A mask on a grid: 1 for foreground. */
export interface Mask {
  readonly data: Uint8Array;
  readonly rows: number;
  readonly columns: number;
}

/** A half-open rectangle in pixels of the photo. */
export interface Box {
  readonly x0: number;
  readonly y0: number;
  readonly x1: number;
  readonly y1: number;
}

/** What an exported file says of itself, under the key `deepinside` of its metadata. */
export interface About {
  readonly format: 1;
  readonly version: string; // of deepinside
  readonly model: string;
  readonly labels: readonly string[]; // empty where classes are numbers
  readonly wnids: readonly (string | null)[];
  readonly size: readonly [number, number]; // height, width
  readonly sizes: readonly (readonly [number, number])[]; // all that the graph takes, the network's own first
  readonly input: "float32" | "uint8"; // (batch, 3, height, width) in [0, 1], or (batch, height, width, 3) from 0 to 255
  readonly resample: "bicubic" | "bilinear" | "lanczos" | "nearest" | "box" | "hamming"; // Pillow's filter
  readonly link: "softmax" | "sigmoid";
  readonly rule: "gradient" | "deconvnet" | "guided";
  readonly constants: Constants; // of the preset `best`
  readonly draws: readonly number[]; // of the first color of each Gaussian, in [0, 1)
}

/** `dataclasses.asdict(Best())`, key by key. */
export interface Constants {
  readonly [name: string]: number | readonly number[] | Readonly<Record<string, number>>;
}

/** What the network says of one picture. */
export interface Look {
  readonly logits: Float32Array;
  readonly probabilities: Float32Array;
  readonly chosen: readonly number[]; // the classes of the maps
  readonly saliency?: readonly Grid[]; // for each class; at the network's own size only
  readonly seed?: readonly Grid[]; // the gradient's magnitude at the seed layer
  readonly evidence?: readonly Grid[]; // gradient times activation at the last layer
  readonly isEven?: readonly boolean[]; // whether the gradient there is the same at every position
  readonly fine?: Features;
  readonly middle?: Features;
}

/** An exported network. */
export interface Network {
  readonly about: About;
  /** Looks at pictures of one of the sizes, each with its classes; without classes, at the likeliest five. */
  look(pictures: readonly Picture[], classes?: readonly (readonly number[])[]): Promise<Look[]>;
}

/** An object of a class, in pixels of the photo. */
export interface Found {
  readonly box: Box; // whole pixels
  readonly confidence: number; // the probability of the class in the closest look
  readonly mask: Mask; // on the grid of the region, as the library's `Segmentation`
  readonly region: Box; // where the grid of the mask lies in the photo
}
