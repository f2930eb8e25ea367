"""What the page's TypeScript has to compute: cases of every step of localization, with the library's own answers.

    python tools/web_cases.py --out web/tests/cases.json

Inputs are random, of fixed seeds, or drawn, or crops of the repository's photos. Arrays are written as base64 of their
bytes, little-endian; values that are multiples of a power of two are written as integers with that factor, so that both
languages read the same numbers.
"""

import argparse
import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from deepinside.core.geometry import Box, Frame
from deepinside.core.images import as_photo, read, view
from deepinside.cut import continuity as steps
from deepinside.cut.continuity import Continuity
from deepinside.cut.graphcut import largest_component, minimum_cut
from deepinside.cut.outline import OutlineOptions, trace
from deepinside.cut.peaks import peaks
from deepinside.explanations import glance as glance_module
from deepinside.explanations.by_features import Best
from deepinside.explanations.explain import choice_of
from deepinside.networks.classifier import Classifier

PHOTOS = Path(__file__).parents[1] / "photos"
FILTERS = list(Image.Resampling)
TYPES = {"u1": np.uint8, "i1": np.int8, "i2": np.int16, "f4": np.float32}

Array = np.ndarray
Case = dict[str, Any]


def coded(array: Array, bits: int | None = None) -> Case:
    """An array as JSON: its values are the coded ones, or where they are multiples of 2^-bits, these times that."""
    if array.dtype == bool:
        return {"kind": "bits", "shape": list(array.shape), "factor": 1, "data": base64_of(np.packbits(array))}
    factor = 1.0 if bits is None else 2.0**-bits
    kinds = ["u1"] if array.dtype == np.uint8 else ["f4"] if bits is None else ["i1", "i2", "f4"]
    for kind in kinds:
        with np.errstate(invalid="ignore"):
            values = np.ascontiguousarray(array / factor).astype(TYPES[kind])
        if np.array_equal(values.astype(np.float64) * factor, np.asarray(array, np.float64)):
            return {"kind": kind, "shape": list(array.shape), "factor": factor, "data": base64_of(values)}
    raise ValueError(f"expected values that {kinds} can hold")


def base64_of(array: Array) -> str:
    """The bytes of an array as text."""
    return base64.b64encode(array.tobytes()).decode()


def dyadic(array: Array, bits: int) -> Array:
    """Values rounded to multiples of 2^-bits, which float32 holds exactly."""
    return np.round(np.asarray(array, np.float64) * 2**bits) / 2**bits


def box_list(box: Box) -> list[float]:
    """A box as JSON."""
    return list(box.as_tuple())


# ---------------------------------------------------------------------------------------------------------- the cut


def cut_cases(random: np.random.Generator) -> Iterator[Case]:
    """Grids of many sizes: noise, ties, blobs, strips, and edges so strong or weak that all pixels agree or none."""
    sizes = [(1, 1), (1, 2), (1, 9), (2, 1), (13, 1), (2, 2), (3, 5), (5, 4), (8, 8), (11, 7), (16, 16), (9, 23)]
    for number in range(120):
        height, width = sizes[number % len(sizes)]
        largest, smooth = ((3, 1), (1, 4), (6, 0.5), (2, 100), (0.5, 0))[number % 5]
        odds, right, down = (
            random.uniform(-largest, largest, (height, width)),
            random.uniform(0, smooth, (height, width - 1)),
            random.uniform(0, smooth, (height - 1, width)),
        )
        bits = (10, 0, 5)[number % 3]  # whole numbers tie
        yield cut_case(*(dyadic(each, bits) for each in (odds, right, down)), bits)
    for sign in (1, -1, 0):  # all foreground, all background, nothing to choose
        grid = np.full((6, 7), float(sign))
        yield cut_case(grid, np.ones((6, 6)), np.ones((5, 7)), 0)
    for size in (32, 40, 56):  # where costs are rounded to units
        y, x = np.mgrid[:size, :size] / size
        blobs = 4 * np.sin(9 * x + 2 * y) * np.cos(7 * y - x) + random.normal(0, 2, (size, size))
        contrast = np.exp(-np.square(np.diff(blobs, axis=1)) / 8), np.exp(-np.square(np.diff(blobs, axis=0)) / 8)
        yield cut_case(*(np.float32(1000 * each).astype(np.float64) for each in (blobs, *contrast)), None)


def cut_case(odds: Array, right: Array, down: Array, bits: int | None) -> Case:
    """The mask of minimum energy."""
    cut = minimum_cut(np.maximum(odds, 0), np.maximum(-odds, 0), right, down)
    grids = {name: coded(each, bits) for name, each in (("odds", odds), ("right", right), ("down", down))}
    return {**grids, "mask": coded(cut.mask), "energy": cut.energy}


def trace_cases(random: np.random.Generator) -> Iterator[Case]:
    """Drawn shapes on noise, and crops of photos, each with a coarse mask that is off by some pixels."""
    for number in range(30):
        height, width = int(random.integers(12, 56)), int(random.integers(12, 56))
        y, x = np.mgrid[:height, :width]
        middle = random.uniform(0.35, 0.65, 2) * (height, width)
        distance = np.hypot((y - middle[0]) / height, (x - middle[1]) / width) * 4
        colors = random.uniform(0, 255, (2, 3))
        image = np.where(distance[..., None] < 1, colors[0], colors[1]) + random.normal(0, 5 + 3 * number % 40, 3)
        image = image + random.normal(0, 2 + number, (height, width, 3))
        odds = np.clip(2 - 2 * distance + random.normal(0, 0.3, (height, width)), -3, 3)
        yield trace_case(image, odds, np.roll(odds > 0, int(random.integers(-3, 4)), axis=number % 2))
    for name, box in (
        ("cat", Box(100, 60, 420, 300)),
        ("hens", Box(0, 0, 600, 400)),
        ("macaw", Box(50, 50, 350, 450)),
    ):
        photo = read(PHOTOS / f"{name}.jpg")
        frame = Frame(photo.width, photo.height, box, 136, 136 * int(box.height) // int(box.width))
        y, x = np.mgrid[: frame.height, : frame.width] / frame.height
        odds = np.clip(3 - 8 * np.hypot(y - 0.5, x - 0.6), -3, 3)
        image = view(photo, frame, Image.Resampling.BOX)[0].permute(1, 2, 0).numpy() * 255
        yield trace_case(image, odds, odds > 0)
    flat = np.zeros((20, 30, 3))
    yield trace_case(flat, np.zeros((20, 30)), np.arange(30) < np.full((20, 1), 11))  # no color decides
    for full in (True, False):
        yield trace_case(flat, np.zeros((20, 30)), np.full((20, 30), full))


def trace_case(image: Array, odds: Array, mask: Array) -> Case:
    """The outline of a coarse mask."""
    levels = np.clip(np.round(image), 0, 255).astype(np.uint8)
    odds = dyadic(odds, 5)
    found = trace(levels.astype(np.float32) / np.float32(255), odds.astype(np.float32), mask)
    return {
        "image": coded(levels),
        "odds": coded(odds, 5),
        "coarse": coded(mask),
        "mask": coded(found.mask),
        "energy": found.energy,
    }


def component_cases(random: np.random.Generator) -> Iterator[Case]:
    """Masks of many parts, and the part of the largest weight."""
    for number in range(6):
        mask, weights = random.random((9, 12)) < 0.5, dyadic(random.random((9, 12)), number % 3 * 4)
        found = largest_component(mask, weights.astype(np.float32))
        yield {"mask": coded(mask), "weights": coded(weights, 8), "found": coded(found)}


# -------------------------------------------------------------------------------------------------------- resampling


def pattern(width: int, height: int) -> Array:
    """A picture that both languages can compute: neither smooth nor random."""
    y, x = np.mgrid[:height, :width]
    planes = [(x * x * 3 + y * y * 5 + x * y * 7 + 85 * color) // 7 % 256 for color in range(3)]
    return np.stack(planes, axis=-1).astype(np.uint8)


def resize_cases() -> Iterator[Case]:
    """Regions of the pattern, enlarged, reduced, by whole factors and not, and of one pixel."""
    pictures = [
        (61, 47, (0, 0, 61, 47), (18, 14)),
        (61, 47, (0, 0, 61, 47), (61, 9)),
        (61, 47, (0, 0, 61, 47), (9, 47)),
        (61, 47, (0, 0, 61, 47), (61, 47)),
        (61, 47, (10, 5, 34, 25), (18, 14)),
        (61, 47, (10.25, 5.7, 55.1, 40.9), (18, 14)),
        (61, 47, (30, 20, 38, 29), (18, 14)),
        (61, 47, (3, 3, 4, 4), (5, 6)),
        (400, 300, (0, 0, 400, 300), (18, 14)),
        (401, 307, (0, 0, 401, 307), (32, 32)),
        (401, 307, (33, 10, 388, 301), (29, 17)),
        (401, 307, (33, 10, 388, 60), (29, 40)),
        (4000, 30, (0, 0, 4000, 30), (24, 24)),
        (3, 700, (0, 0, 3, 700), (6, 24)),
        (1, 1, (0, 0, 1, 1), (3, 4)),
    ]
    for width, height, box, size in pictures:
        image = Image.fromarray(pattern(width, height))
        for filter in FILTERS:
            found = image.resize(size, filter, box=box, reducing_gap=3.0)
            yield {
                "picture": [width, height],
                "box": list(box),
                "size": list(size),
                "filter": filter.name.lower(),
                "found": coded(np.asarray(found)),
            }


def interpolate_cases(random: np.random.Generator) -> Iterator[Case]:
    """Maps on other grids, in each of the three ways."""
    for shape, size in (((7, 7), (28, 30)), ((14, 10), (7, 5)), ((5, 9), (8, 4)), ((6, 6), (6, 6)), ((1, 1), (4, 3))):
        map = random.normal(0, 1, shape).astype(np.float32)
        channels = torch.from_numpy(random.normal(0, 1, (3, *shape)).astype(np.float32))
        yield {
            "map": coded(map),
            "channels": coded(channels.numpy()),
            "resized": coded(steps.resize(map, size)),
            "smooth": coded(steps.resize_smoothly(map, size)),
            "many": coded(steps.resize_channels(channels, size).numpy()),
        }


def frame_cases(random: np.random.Generator) -> Iterator[Case]:
    """Masks and maps of a region, in photo pixels: grids coarser and finer than the photo."""
    for number in range(40):
        photo, grid = random.integers(1, 50, 2), random.integers(1, (14, 60)[number % 2], 2)
        x, y = (np.sort(random.integers(0, side + 1, 2)) for side in photo)
        region = Box(float(x[0]), float(y[0]), float(max(x[1], x[0] + 1)), float(max(y[1], y[0] + 1)))
        if number % 4 == 3:  # not on whole pixels
            region = Box(region.x0 + 0.3, region.y0 + 0.3, region.x1 - 0.3, region.y1 - 0.1)
        frame = Frame(int(max(photo[0], region.x1)), int(max(photo[1], region.y1)), region, int(grid[0]), int(grid[1]))
        mask = random.random((frame.height, frame.width)) < (0.5, 0.1, 0.9)[number % 3]
        mask.flat[random.integers(mask.size)] = True
        map = dyadic(random.random(mask.shape), 8)
        yield {
            "frame": [frame.photo_width, frame.photo_height, box_list(region), frame.width, frame.height],
            "mask": coded(mask),
            "map": coded(map, 8),
            "photo": coded(frame.mask_to_photo(mask)),
            **({"values": coded(frame.map_to_photo(map))} if number % 5 == 0 else {}),
            "box": box_list(frame.mask_box(mask)),
        }


# -------------------------------------------------------------------------------------------------------- continuity


def continuity_cases(random: np.random.Generator) -> Iterator[Case]:
    """Seeds, similarities, log odds and edges of two layers of features, and of colors alone."""
    how = Continuity()
    for number, (rows, columns) in enumerate(((16, 16), (14, 20), (8, 6))):
        cells, nodes = (rows, columns), (rows // 2, columns // 2)
        maps = [np.square(random.normal(0, 1, (rows // 2, columns // 2))), random.random((rows // 4, columns // 4))]
        maps = [map.astype(np.float32) for map in maps]
        features = [random.normal(0, 1, (5, *each.shape)).astype(np.float32) for each in maps]
        image = random.integers(0, 256, (rows, columns, 3)).astype(np.uint8)
        pixels = image.astype(np.float32) / np.float32(255)
        seed = steps.seed_map(maps, cells, how)
        kernel = steps.feature_kernel([torch.from_numpy(each) for each in features], nodes, how)
        fine = steps.resize_channels(torch.from_numpy(features[0]), cells).permute(1, 2, 0).numpy()
        right, down = steps.continuity_edges(pixels, None if number == 2 else fine, how.edge)
        yield {
            "cells": cells,
            "nodes": nodes,
            "maps": [coded(map) for map in maps],
            "features": [coded(each) for each in features],
            "image": coded(image),
            "colorsAlone": number == 2,
            "seed": coded(seed),
            "kernel": coded(kernel),
            "odds": coded(steps.log_odds(seed, kernel, nodes, how)),
            "lab": coded(steps.lab(pixels)),
            "right": coded(right),
            "down": coded(down),
            "otsu": steps.otsu(seed),
        }


def peak_cases(random: np.random.Generator) -> Iterator[Case]:
    """Hills, ripples, plateaus and ties."""
    for number in range(12):
        rows, columns = (int(side) for side in random.integers(3, 24, 2))
        y, x = np.mgrid[:rows, :columns]
        map = sum(
            random.random() * np.exp(-((y - random.uniform(0, rows)) ** 2 + (x - random.uniform(0, columns)) ** 2) / 8)
            for _ in range(5)
        )
        map = dyadic(map + random.normal(0, 0.05, map.shape).clip(0), (12, 3, 12, 2)[number % 4])
        found = peaks(map.astype(np.float32), 0.7, 0.3)
        yield {
            "map": coded(map, 12),
            "peaks": [{"height": peak.height, "mask": coded(peak.mask)} for peak in found],
        }


# ------------------------------------------------------------------------------------------------- the whole localizer


class Discs(nn.Module):
    """A network that knows colors: its classes are red, green, blue and gray things; its grids end at stride 32."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        widths = (3, 4, 6, 6, 6, 6)
        blocks = (nn.Sequential(nn.Conv2d(*pair, 3, 2, 1), nn.ReLU()) for pair in pairwise(widths))
        self.blocks = nn.Sequential(*blocks)
        with torch.no_grad():
            for number, block in enumerate(self.blocks):
                block[0].weight *= 0.3
                for color in range(3):  # redness stays redness, and so on
                    block[0].weight[color] *= 0.1
                    for other in range(3):
                        block[0].weight[color, other] += 0.2 if color == other else -0.1 if number == 0 else 0
        self.head = nn.Linear(6, 4)
        with torch.no_grad():
            self.head.weight *= 0.5
            self.head.weight[:3, :3] += 6 * torch.eye(3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of the four classes."""
        return self.head(self.blocks(images).mean(dim=(2, 3)) * 8)


class FixedDiscs(Discs):
    """The same for pictures of one size, as networks with dense layers are."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits; refuses other sizes."""
        assert images.shape[2:] == (96, 128)
        return super().forward(images)


class Dense(nn.Module):
    """A network without a layer that knows where things are: the image's own saliency is all that tells."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 48, 5), nn.ReLU(), nn.Linear(5, 4))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of the four classes."""
        return self.layers(images)


def scene(random: np.random.Generator, width: int, height: int) -> Array:
    """Discs of several colors on a gray ground, with noise, 8 bits."""
    y, x = np.mgrid[:height, :width]
    image = np.full((height, width, 3), 90.0)
    for number in range(6):
        center, radius = random.uniform(0.12, 0.88, 2) * (height, width), random.uniform(0.06, 0.14) * height
        color = [(230, 40, 30), (230, 40, 30), (40, 200, 60), (30, 60, 220), (230, 40, 30), (40, 200, 60)][number]
        image[np.hypot(y - center[0], x - center[1]) < radius] = color
    return np.clip(np.round(image + random.normal(0, 6, image.shape)), 0, 255).astype(np.uint8)


def whole_cases(random: np.random.Generator) -> Iterator[Case]:
    """Photos with what a small network says of every region that it is shown, and what the library finds in them."""
    networks = (
        (Discs(), (96, 96), (140, 100)),
        (Discs(), (64, 64), (80, 112)),
        (FixedDiscs(), (96, 128), (150, 108)),
        (Dense(), (32, 48), (75, 50)),
    )
    for network, size, (width, height) in networks:
        classifier = Classifier(network.eval(), size=size, mean=(0.5,) * 3, std=(0.5,) * 3, labels=COLORS)
        pixels, how = scene(random, width, height), Best()
        photo, said = as_photo(pixels), []
        with recorded(said):
            (seen,) = how.see(classifier, [how.views(classifier, photo)], [choice_of(classifier, None, 3)])
        found = [how.segment(seen, k) for k in range(len(seen.classes))]
        yield {
            "photo": coded(pixels),
            "size": list(size),
            "anySize": type(network) is Discs,
            "resample": "bicubic",
            "looks": said,
            "classes": list(seen.classes),
            "maps": [coded(map) for map in seen.maps],
            "objects": [
                [
                    {
                        "box": box_list(each.frame.mask_box(each.mask)),
                        "confidence": each.confidence,
                        "region": box_list(each.frame.region),
                        "mask": coded(each.mask),
                    }
                    for each in objects
                ]
                for objects in found
            ],
        }


COLORS = ("red", "green", "blue", "gray")


class recorded:
    """Writes down each picture that the network is shown, its classes, and what it says of it."""

    def __init__(self, said: list[Case]):
        self.said = said

    def __enter__(self) -> None:
        self.look: Callable[..., Any] = glance_module.look
        glance_module.look = self.listen

    def __exit__(self, *_: object) -> None:
        glance_module.look = self.look

    def listen(self, private: nn.Module, images: torch.Tensor, *given: Any, **named: Any) -> Any:
        """`look`, written down."""
        seen = self.look(private, images, *given, **named)
        features = ("fine", "middle")
        reads = seen.activations[len(seen.activations) - len(named["reads"]) :] if named["reads"] else ()
        for number, image in enumerate(images):
            pixels = (image * 255).round().byte().permute(1, 2, 0).numpy()
            self.said.append(
                {
                    "picture": [image.shape[2], image.shape[1], int(np.sum(pixels * weights_of(pixels)) % 2**31)],
                    "chosen": seen.classes[number].tolist(),
                    "logits": seen.logits[number].tolist(),
                    **maps_of([gradient[number].numpy() for gradient in seen.gradients]),
                    **{name: coded(read[number].numpy()) for name, read in zip(features, reads, strict=False)},
                }
            )
        return seen


def maps_of(summaries: list[Array]) -> Case:
    """What is kept of the gradients at the seed layer and at the last one, or of those at the image alone."""
    if len(summaries) == 1:
        return {"saliency": coded(summaries[0][:, 0])}
    (magnitude, _, _), (_, evidence, is_even) = (summary.swapaxes(0, 1) for summary in summaries)
    return {"seed": coded(magnitude), "evidence": coded(evidence), "isEven": [bool(each.all()) for each in is_even]}


def weights_of(pixels: Array) -> Array:
    """Of a sum of all bytes that changes when any of them does, or when two change places."""
    return (np.arange(pixels.size) % 251 + 1).reshape(pixels.shape)


def main() -> None:
    """Write all cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    out = parser.parse_args().out
    torch.set_num_threads(1)
    random = np.random.default_rng(7)
    best = Best()
    cases = {
        "constants": asdict(best),
        "draws": np.random.default_rng(0).random(best.outline.components).tolist(),
        "cuts": list(cut_cases(random)),
        "traces": list(trace_cases(random)),
        "components": list(component_cases(random)),
        "resizes": list(resize_cases()),
        "interpolations": list(interpolate_cases(random)),
        "frames": list(frame_cases(random)),
        "continuities": list(continuity_cases(random)),
        "peaks": list(peak_cases(random)),
        "wholes": list(whole_cases(random)),
    }
    assert cases["constants"]["outline"] == asdict(OutlineOptions())
    out.write_text(json.dumps(cases, separators=(",", ":")) + "\n", encoding="utf-8")
    for name, each in cases.items():
        print(f"{name}: {len(each)}, {len(json.dumps(each)):,} bytes")


if __name__ == "__main__":
    main()
