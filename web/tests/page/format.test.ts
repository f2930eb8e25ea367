import { describe, expect, it } from "vitest";
import { agree } from "../../src/page/engine";
import { classOf, counted, megabytes, nameOf, percent, stem, uniqueNames } from "../../src/page/format";
import { opaque } from "../../src/page/decode";
import type { About } from "../../src/types";

const about = (labels: string[]): About => ({ labels }) as unknown as About;

describe("numbers", () => {
  it.each([[0.93714, "93.7%"], [0, "0.0%"], [1, "100.0%"], [0.00049, "< 0.1%"], [0.0005, "0.1%"], [0.99951, "> 99.9%"]])(
    "%f is shown as %s",
    (share, text) => expect(percent(share)).toBe(text),
  );

  it("have units", () => {
    expect(megabytes(12_345_678)).toBe("12.3 MB");
    expect([0, 1, 2].map((count) => counted(count, "object"))).toEqual(["0 objects", "1 object", "2 objects"]);
  });
});

describe("names", () => {
  const labels = ["tench, Tinca tinca", "crane", "hen", "crane", "moorhen"];
  const names = uniqueNames(about(labels), 5);

  it("are each there once", () => expect(names).toEqual(["tench, Tinca tinca", "crane (1)", "hen", "crane (3)", "moorhen"]));

  it("are numbers where a network has no labels", () => {
    expect(uniqueNames(about([]), 2)).toEqual(["class 0", "class 1"]);
    expect(nameOf(about([]), 17)).toBe("class 17");
  });

  it.each([["Hen", 2], ["tinca tinca", 0], ["crane (3)", 3], ["4", 4], ["moor", 4], ["crane", null], ["", null], ["dog", null], ["5", null]])(
    "%s means %s",
    (typed, index) => expect(classOf(names, typed)).toBe(index),
  );

  it("of files lose their ending", () => {
    expect(["cat.jpg", "a/b.c/cat.tar.gz", "cat", ""].map(stem)).toEqual(["cat", "cat.tar", "cat", "photo"]);
  });
});

it("a picture loses its opacity", () => {
  expect([...opaque([1, 2, 3, 255, 4, 5, 6, 255])]).toEqual([1, 2, 3, 4, 5, 6]);
});

it("logits agree up to a share of the largest", () => {
  const logits = Float32Array.of(10, -2);
  expect(agree(Float32Array.of(10.1, -2.1), logits)).toBe(true);
  expect(agree(Float32Array.of(10, -2.3), logits)).toBe(false);
  expect(agree(Float32Array.of(NaN, -2), logits)).toBe(false);
  expect(agree(Float32Array.of(10), logits)).toBe(false);
});
