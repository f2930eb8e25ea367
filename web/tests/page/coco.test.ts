import { expect, it } from "vitest";
import { coco, scaled } from "../../src/page/coco";

it("boxes become COCO JSON: one image, its boxes, and each class once", () => {
  const box = { x0: 10, y0: 20, x1: 110, y1: 70 };
  const found = [
    { index: 7, label: "cock", confidence: 0.9, box },
    { index: 3, label: "hen, “Henne”", confidence: 0.5, box: { x0: 0, y0: 0, x1: 1, y1: 2 } },
    { index: 7, label: "cock", confidence: 0.4, box },
  ];
  const { images, annotations, categories } = JSON.parse(coco("hens.jpg", 640, 480, found));
  expect(images).toEqual([{ id: 1, file_name: "hens.jpg", width: 640, height: 480 }]);
  expect(annotations.map(({ id }: { id: number }) => id)).toEqual([1, 2, 3]);
  expect(annotations[0]).toEqual({ id: 1, image_id: 1, category_id: 7, bbox: [10, 20, 100, 50], area: 5000, iscrowd: 0, score: 0.9 });
  expect(categories).toEqual([
    { id: 3, name: "hen, “Henne”", supercategory: "" },
    { id: 7, name: "cock", supercategory: "" },
  ]);
});

it("a box is in whole pixels of the file, which may have more of them", () => {
  expect(scaled({ x0: 1, y0: 2, x1: 3, y1: 4 }, 1, 1)).toEqual({ x0: 1, y0: 2, x1: 3, y1: 4 });
  expect(scaled({ x0: 1, y0: 2, x1: 3, y1: 4 }, 2.5, 2)).toEqual({ x0: 3, y0: 4, x1: 8, y1: 8 });
});
