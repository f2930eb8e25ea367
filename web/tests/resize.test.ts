import { describe, expect, test } from "vitest";
import type { FilterName } from "../src/filters";
import { resize, resizeChannels, resizeSmoothly } from "../src/interpolate";
import { view } from "../src/resize";
import type { Picture } from "../src/types";
import { type Coded, bytesOf, cases, difference, featuresOf, gridOf } from "./cases";

interface ResizeCase {
  readonly picture: [number, number];
  readonly box: [number, number, number, number];
  readonly size: [number, number];
  readonly filter: FilterName;
  readonly found: Coded;
}

describe("view", () => {
  const named = (cases.resizes as ResizeCase[]).map(
    (each) => [`${each.filter} ${each.picture.join("x")} ${each.box.join(" ")}, ${each.size.join("x")}`, each] as const,
  );
  test.each(named)("has the bytes of Pillow: %s", (_, { picture, box, size, filter, found }) => {
    const [x0, y0, x1, y1] = box;
    const resized = view(pattern(...picture), { x0, y0, x1, y1 }, size[0], size[1], filter);
    expect([resized.width, resized.height]).toEqual(size);
    expect(difference(resized.data, bytesOf(found))).toBe(0);
  });
});

test("maps are interpolated as PyTorch does", () => {
  for (const each of cases.interpolations as Record<"map" | "channels" | "resized" | "smooth" | "many", Coded>[]) {
    const [resized, smooth, many] = [gridOf(each.resized), gridOf(each.smooth), featuresOf(each.many)];
    const [map, { rows, columns }] = [gridOf(each.map), resized];
    expect(difference(resize(map, rows, columns).data, resized.data)).toBeLessThan(2e-6);
    expect(difference(resizeSmoothly(map, rows, columns).data, smooth.data)).toBeLessThan(2e-6);
    expect(difference(resizeChannels(featuresOf(each.channels), rows, columns).data, many.data)).toBeLessThan(2e-6);
  }
});

/** As `pattern` in `tools/web_cases.py`. */
function pattern(width: number, height: number): Picture {
  const data = new Uint8Array(3 * width * height);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const value = x * x * 3 + y * y * 5 + x * y * 7;
      for (let color = 0; color < 3; color++) data[at++] = Math.floor((value + 85 * color) / 7) % 256;
    }
  }
  return { data, width, height };
}
