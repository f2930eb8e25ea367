import { describe, expect, it } from "vitest";
import { openNetwork, type Runtime, type RuntimeTensor } from "../../src/network";
import type { Picture } from "../../src/types";
import { fileWith } from "./files";

type Values = Float32Array | Uint8Array | BigInt64Array;

class Tensor implements RuntimeTensor {
  disposed = false;
  constructor(readonly type: string, readonly data: Values, readonly dims: readonly number[]) {}
  dispose(): void {
    this.disposed = true;
  }
}

interface Run {
  readonly images: Tensor;
  readonly classes: Tensor;
}

const SIZE = [2, 3]; // height, width

function file(input: "float32" | "uint8"): Uint8Array {
  const about = { format: 1, version: "2", model: "fake", labels: [], size: SIZE, sizes: [SIZE, [4, 6]], input };
  return fileWith("deepinside", JSON.stringify(about));
}

/** A runtime whose network says which picture and which class it was asked for. */
function fake(more: (run: Run, count: number) => Record<string, Tensor> = () => ({})): Runtime & { runs: Run[]; open: number } {
  const runs: Run[] = [];
  const runtime = {
    runs,
    open: 0,
    Tensor: Tensor as unknown as Runtime["Tensor"],
    InferenceSession: {
      create: async () => {
        let busy = false;
        return {
          inputNames: ["images", "classes"],
          outputNames: [],
          run: async (given: never) => {
            if (busy) throw new Error("the session is busy");
            busy = true;
            await new Promise((resolve) => setTimeout(resolve, 1));
            busy = false;
            const run = given as Run;
            runs.push(run);
            return { ...outputs(run), ...more(run, run.images.dims[0]) };
          },
          release: async () => void runtime.open--,
        };
      },
    },
  };
  runtime.open = 1;
  return runtime;
}

function outputs({ images, classes }: Run): Record<string, Tensor> {
  const count = images.dims[0];
  const each = images.data.length / count;
  const first = Array.from({ length: count }, (_, k) => Number(images.data[k * each]));
  const given = Array.from(classes.data as BigInt64Array);
  const chosen = given[0] === -1n ? Array.from({ length: 2 * count }, (_, k) => BigInt(k % 2)) : given;
  const k = chosen.length / count;
  return {
    logits: new Tensor("float32", Float32Array.from(first.flatMap((value) => [value, -value])), [count, 2]),
    probabilities: new Tensor("float32", Float32Array.from(first.flatMap(() => [0.75, 0.25])), [count, 2]),
    chosen: new Tensor("int64", BigInt64Array.from(chosen), [count, k]),
    saliency: new Tensor("float32", new Float32Array(0), [0, k, 4, 6]),
  };
}

function picture(first: number, [height, width] = SIZE): Picture {
  const data = new Uint8Array(3 * width * height).map((_, k) => k);
  data[0] = first;
  return { data, width, height };
}

describe("a network", () => {
  it("takes planes of red, green and blue from 0 to 1", async () => {
    const ort = fake();
    await (await openNetwork(file("float32"), ort)).look([picture(51)]);
    const { images, classes } = ort.runs[0];
    expect(images.dims).toEqual([1, 3, 2, 3]);
    const bytes = [51, 3, 6, 9, 12, 15, 1, 4, 7, 10, 13, 16, 2, 5, 8, 11, 14, 17];
    expect(images.data).toEqual(Float32Array.from(bytes, (value) => value / 255));
    expect(classes.type).toBe("int64");
    expect([...classes.data]).toEqual([-1n]);
  });

  it("takes bytes as they are, where it asks for them", async () => {
    const ort = fake();
    await (await openNetwork(file("uint8"), ort)).look([picture(7), picture(9)], [[1], [0]]);
    const { images, classes } = ort.runs[0];
    expect([images.type, ...images.dims]).toEqual(["uint8", 2, 2, 3, 3]);
    expect([...images.data]).toEqual([...picture(7).data, ...picture(9).data]);
    expect([...classes.data, ...classes.dims]).toEqual([1n, 0n, 2, 1]);
  });

  it("answers in the order of the pictures, whatever ran together", async () => {
    const ort = fake();
    const network = await openNetwork(file("uint8"), ort, { batch: 2 });
    const sizes = [SIZE, [4, 6], SIZE, SIZE, SIZE];
    const pictures = sizes.map((size, k) => picture(k + 1, size));
    const looks = await network.look(pictures, [[1], [1], [0, 1], [0], [1]]);
    expect(looks.map(({ logits }) => logits[0])).toEqual([1, 2, 3, 4, 5]);
    expect(looks.map(({ chosen }) => chosen)).toEqual([[1], [1], [0, 1], [0], [1]]);
    expect(ort.runs.map(({ images }) => images.dims[0])).toEqual([2, 1, 1, 1]);
  });

  it("leaves out what the graph has not, and what is empty", async () => {
    const [look] = await (await openNetwork(file("uint8"), fake())).look([picture(1)]);
    expect(Object.keys(look).sort()).toEqual(["chosen", "logits", "probabilities"]);
  });

  it("gives each picture its own maps and features", async () => {
    const count = (length: number): Float32Array => Float32Array.from({ length }, (_, k) => k);
    const ort = fake((_, n) => ({
      saliency: new Tensor("float32", count(n * 2 * 6), [n, 2, 2, 3]),
      is_even: new Tensor("bool", Uint8Array.from({ length: 2 * n }, (_, k) => k % 2), [n, 2]),
      fine: new Tensor("float32", count(n * 4), [n, 4, 1, 1]),
    }));
    const looks = await (await openNetwork(file("uint8"), ort)).look([picture(1), picture(2)]);
    expect(looks[1].saliency?.[1]).toEqual({ data: Float32Array.of(18, 19, 20, 21, 22, 23), rows: 2, columns: 3 });
    expect(looks[1].isEven).toEqual([false, true]);
    expect(looks[1].fine).toEqual({ data: Float32Array.of(4, 5, 6, 7), channels: 4, rows: 1, columns: 1 });
  });

  it("runs once at a time, frees its tensors, and closes", async () => {
    const ort = fake();
    const network = await openNetwork(file("uint8"), ort);
    const looks = await Promise.all([1, 2, 3].map((value) => network.look([picture(value)])));
    expect(looks.map(([{ logits }]) => logits[0])).toEqual([1, 2, 3]);
    expect(ort.runs.every(({ images, classes }) => images.disposed && classes.disposed)).toBe(true);
    await network.close();
    expect(ort.open).toBe(0);
  });

  it("goes on after an error", async () => {
    const network = await openNetwork(file("uint8"), fake());
    await expect(network.look([picture(1, [5, 5])])).rejects.toThrow("Expected pictures of 3x2 or 6x4 pixels, got 5x5.");
    await expect(network.look([picture(1)], [[]])).rejects.toThrow("at least one class");
    expect(await network.look([picture(1)])).toHaveLength(1);
  });
});
