import { describe, expect, test } from "vitest";
import { Frame } from "../src/frame";
import { type Coded, difference, gridOf, maskOf, numbered } from "./cases";

interface FrameCase {
  readonly frame: [number, number, [number, number, number, number], number, number];
  readonly mask: Coded;
  readonly map: Coded;
  readonly photo: Coded;
  readonly values?: Coded;
  readonly box: [number, number, number, number];
}

describe("Frame", () => {
  test.each(numbered<FrameCase>("frames"))("agrees with the library, case %i", (_, each) => {
    const [photoWidth, photoHeight, [x0, y0, x1, y1], width, height] = each.frame;
    const frame = new Frame(photoWidth, photoHeight, { x0, y0, x1, y1 }, width, height);
    expect(frame.maskToPhoto(maskOf(each.mask))).toEqual(maskOf(each.photo));
    const box = frame.maskBox(maskOf(each.mask));
    expect([box.x0, box.y0, box.x1, box.y1]).toEqual(each.box);
    if (each.values === undefined) return;
    expect(difference(frame.mapToPhoto(gridOf(each.map)).data, gridOf(each.values).data)).toBeLessThan(1e-6);
  });

  test("an empty mask has no box", () => {
    const frame = new Frame(4, 4, { x0: 0, y0: 0, x1: 4, y1: 4 }, 2, 2);
    expect(() => frame.maskBox({ data: new Uint8Array(4), rows: 2, columns: 2 })).toThrow("empty");
  });
});
