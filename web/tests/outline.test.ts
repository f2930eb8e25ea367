import { describe, expect, test } from "vitest";
import { trace } from "../src/outline";
import { bytesOf, type Coded, constants, draws, gridOf, maskOf, numbered } from "./cases";

interface TraceCase {
  readonly image: Coded;
  readonly odds: Coded;
  readonly coarse: Coded;
  readonly mask: Coded;
  readonly energy: number;
}

describe("trace", () => {
  test.each(numbered<TraceCase>("traces"))("agrees with the library, case %i", (_, each) => {
    const image = Float32Array.from(bytesOf(each.image), (value) => value / 255);
    const found = trace(image, gridOf(each.odds), maskOf(each.coarse), constants.outline, draws);
    expect(found.mask).toEqual(maskOf(each.mask));
    expect(Math.abs(found.energy - each.energy)).toBeLessThanOrEqual(2e-5 * each.energy);
  });
});
