"""FiftyOne: a data set that its own loader opens, with masks and heatmaps; it need not be installed here."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any
from zlib import compress

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from deepinside.core import escape
from deepinside.core.results import Detection, Explanation
from deepinside.explanations.exports.documents import json_line
from deepinside.explanations.exports.growing import growing
from deepinside.explanations.exports.manifest import Manifest
from deepinside.explanations.exports.names import Names, class_names, flat
from deepinside.explanations.exports.objects import corners, numbered, reviewed, version_of
from deepinside.explanations.exports.writers import Add


@contextmanager
def fiftyone(manifest: Manifest, known: Names) -> Iterator[Add]:
    """`samples.json`, `metadata.json` and `fields/`, for `from_dir` with `fiftyone.types.FiftyOneDataset`.

        import fiftyone as fo

        dataset = fo.Dataset.from_dir(dataset_dir="out/fiftyone", dataset_type=fo.types.FiftyOneDataset)

    It is the first of the two layouts that FiftyOne reads by this name, without its database's own numbers. A sample
    has `objects`, with boxes as fractions of the photo, masks of the box and confidences, and perhaps a `review`. Where
    there are maps, `saliency_1` is that of its first class, and so on, relative to the largest value; `label` tells the
    class. Photos are not copied.
    """
    names = dict(known)
    written = 0

    def describe(folder: Path) -> None:
        listed = {"objects": [names[index] for index in sorted(names)]}
        info = {"description": "Objects by deepinside", "classes": listed}
        manifest.write(folder / "metadata.json", (json_line(media_type="image", info=info) + "\n").encode())

    with growing(manifest, manifest.folder / "samples.json", '{"samples": [', lambda: "\n]}\n") as grown:
        describe(manifest.folder)

        def add(photo: Path, name: Path, explanation: Explanation) -> None:
            nonlocal written
            entry, version = manifest.number(photo), version_of(explanation)
            if not grown.lacks(entry, version):
                return
            folder, before = grown.path.parent, len(names)
            class_names(explanation, names)
            sample = {
                "filepath": escape.encodable(os.path.abspath(photo)),
                "tags": [],
                "metadata": {"_cls": "ImageMetadata", "width": explanation.width, "height": explanation.height},
                "objects": {
                    "_cls": "Detections",
                    "detections": [
                        _detection(seen, number, names[seen.index], explanation)
                        for number, seen in numbered(explanation)
                    ],
                },
                **reviewed(explanation),
            }
            for rank, (seen, *_) in enumerate(explanation.by_class, start=1):
                if seen.map.size > 1:  # one value points nowhere
                    maps = (folder / "fields" / f"saliency_{rank}").relative_to(manifest.folder)
                    path = manifest.name(entry, maps / f"{flat(name)}.png", maps.as_posix())
                    manifest.write(manifest.folder / path, _gray(seen.saliency))
                    sample[f"saliency_{rank}"] = {
                        "_cls": "Heatmap",
                        "map_path": (manifest.folder / path).relative_to(folder).as_posix(),
                        "label": names[seen.index],
                    }
            if not written or len(names) > before:
                describe(folder)
            written += 1
            grown.append((",\n" if written > 1 else "\n") + json_line(**sample), entry, version)

        yield add


def _detection(seen: Detection, number: int, label: str, explanation: Explanation) -> dict[str, Any]:
    fields = described(seen, number, label, explanation)
    return {"_cls": "Detection", **fields, "mask": {"$binary": {"base64": _packed(fields["mask"]), "subType": "00"}}}


def described(seen: Detection, number: int, label: str, explanation: Explanation) -> dict[str, Any]:
    """The fields of a `fiftyone.Detection`: the box as fractions of the photo, and the part of the mask in it."""
    x0, y0, x1, y1 = corners(seen)
    width, height = explanation.width, explanation.height
    return {
        "label": label,
        "bounding_box": [x0 / width, y0 / height, (x1 - x0) / width, (y1 - y0) / height],
        "mask": seen.mask[y0:y1, x0:x1],
        "confidence": seen.confidence,
        "probability": seen.probability,
        "wnid": seen.wnid,
        "number": number,
    }


def _packed(mask: Bool[np.ndarray, "rows columns"]) -> str:
    """A mask as `fiftyone.core.utils.serialize_numpy_array` has it: NumPy's file format, compressed."""
    buffer = BytesIO()
    np.save(buffer, np.ascontiguousarray(mask), allow_pickle=False)
    return b64encode(compress(buffer.getvalue())).decode()


def _gray(map: Float[np.ndarray, "rows columns"]) -> bytes:
    """A saliency map as a gray image, white where it is largest."""
    buffer = BytesIO()
    scale = 255 / (map.max() or 1)
    Image.fromarray((map * scale).round().astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()
