import { expect, test } from "vitest";
import { outlinePaths } from "../src/outlines";
import type { Found } from "../src/types";
import { randomFrom } from "./cases";

test("a hole has a path of its own, and pixels that touch at a corner are apart", () => {
  expect(outlinePaths(object(["##.", "#.#"], 1))).toBe("M2 0L2 1L1 1L1 2L0 2L0 0ZM3 1L3 2L2 2L2 1Z");
  const ring = outlinePaths(object(["###", "#.#", "###"], 2));
  expect(ring.split("Z").length - 1).toBe(2);
});

test("the area inside the path is that of the mask", () => {
  const random = randomFrom(3);
  for (let round = 0; round < 50; round++) {
    const pixel = (): string => (random() < 0.5 ? "#" : ".");
    const lines = Array.from({ length: 7 }, () => Array.from({ length: 9 }, pixel).join(""));
    const area = lines.join("").split("#").length - 1;
    expect(areaInside(outlinePaths(object(lines, 1)))).toBe(area);
  }
});

/** The area of all loops, those of holes below 0. */
function areaInside(path: string): number {
  let area = 0;
  for (const loop of path.split("Z").filter((part) => part !== "")) {
    const points = loop.slice(1).split("L").map((point) => point.split(" ").map(Number));
    points.forEach(([x, y], i) => {
      const [u, v] = points[(i + 1) % points.length];
      area += (x * v - u * y) / 2;
    });
  }
  return area;
}

function object(lines: string[], scale: number): Found {
  const [rows, columns] = [lines.length, lines[0].length];
  const data = Uint8Array.from(lines.join(""), (character) => (character === "#" ? 1 : 0));
  const region = { x0: 0, y0: 0, x1: columns * scale, y1: rows * scale };
  return { box: region, confidence: 1, mask: { data, rows, columns }, region };
}
