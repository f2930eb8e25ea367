"""The pixels of Hugging Face's processors, each compared with what the processor itself makes of a photo."""

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.Image import Resampling
from torch import nn

from deepinside.core.errors import DeepInsideError
from deepinside.networks.normalized import Normalized
from deepinside.networks.processors import Reordered, pixels

transformers = pytest.importorskip("transformers")

HW, SHORT = {"height": 48, "width": 48}, {"shortest_edge": 48}
CROP = {"crop_size": HW}
# Every family, as published and with the fields that are its own. All of them make images of 48 x 48.
PROCESSORS = [
    ("ViTImageProcessor", {"size": HW}),
    ("ViTImageProcessor", {"size": HW, "do_normalize": False, "resample": 3}),
    ("ViTImageProcessor", {"size": HW, "do_rescale": False}),
    ("ViTImageProcessor", {"size": HW, "rescale_factor": 1 / 127.5, "image_mean": [1.0] * 3, "image_std": [1.0] * 3}),
    ("DeiTImageProcessor", {"size": {"height": 56, "width": 56}, **CROP}),
    ("DeiTImageProcessor", {"size": HW, "do_center_crop": False, **{"crop_size": {"height": 9, "width": 9}}}),
    ("BeitImageProcessor", {"size": HW, "do_center_crop": False}),
    ("ConvNextImageProcessor", {"size": SHORT, "crop_pct": 0.875}),
    ("ConvNextImageProcessor", {"size": SHORT, "crop_pct": 0.875, "image_std": [0.25, 0.5, 1.0]}),
    ("BitImageProcessor", {"size": {"shortest_edge": 56}, **CROP}),
    ("MobileNetV1ImageProcessor", {"size": {"shortest_edge": 56}, **CROP}),
    ("MobileNetV2ImageProcessor", {"size": {"shortest_edge": 56}, **CROP}),
    ("MobileViTImageProcessor", {"size": {"shortest_edge": 56}, **CROP}),
    ("MobileViTImageProcessor", {"size": {"shortest_edge": 56}, "do_flip_channel_order": False, **CROP}),
    ("EfficientNetImageProcessor", {"size": HW}),
    ("EfficientNetImageProcessor", {"size": HW, "include_top": False, "image_mean": [0.485, 0.456, 0.406]}),
    ("EfficientNetImageProcessor", {"size": HW, "rescale_offset": True, "rescale_factor": 1 / 127.5}),
    ("EfficientNetImageProcessor", {"size": {"height": 60, "width": 60}, "do_center_crop": True, **CROP}),
    ("LevitImageProcessor", {"size": SHORT, **CROP}),
    ("PoolFormerImageProcessor", {"size": SHORT, **CROP}),
    ("PvtImageProcessor", {"size": HW}),
    ("PerceiverImageProcessor", {"size": HW, "crop_size": {"height": 56, "width": 56}}),
    ("SegformerImageProcessor", {"size": HW}),
    ("SiglipImageProcessor", {"size": HW}),
    ("CLIPImageProcessor", {"size": SHORT, **CROP}),
    ("TextNetImageProcessor", {"size": {"shortest_edge": 64}, **CROP, "do_center_crop": True}),
    ("PPLCNetImageProcessor", {"size": HW, "resize_short": None, "do_center_crop": False}),
]


def prepared(name, options):
    if not hasattr(transformers, name):
        pytest.skip(f"this version of transformers has no {name}")
    return getattr(transformers, name)(**options)


@pytest.mark.parametrize(("name", "options"), PROCESSORS)
def test_pixels_are_those_of_the_processor(name, options):
    processor = prepared(name, options)
    size, mean, std, order, _ = pixels(processor, 3, None)
    assert size == (48, 48)
    photo = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    unmoved = {"do_resize": False, "do_center_crop": False}  # where pixels are taken from is for the frames to say
    expected = processor(images=Image.fromarray(photo), return_tensors="pt", **unmoved)["pixel_values"]
    ours = Normalized(Reordered(nn.Identity(), order), mean, std)(torch.from_numpy(photo).permute(2, 0, 1)[None] / 255)
    torch.testing.assert_close(ours, expected.float(), rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


def test_resampling_and_numbers_are_those_of_the_configuration():
    processor = transformers.ViTImageProcessor(size=HW, image_mean=[0.485, 0.456, 0.406], resample=3)
    found = pixels(processor, 3, None)
    assert found.resample is Resampling.BICUBIC
    assert found.mean == pytest.approx((0.485, 0.456, 0.406), abs=1e-7)
    assert pixels(transformers.ViTImageProcessor(size=HW, resample=0), 3, None).resample is Resampling.NEAREST


def test_one_channel():
    processor = transformers.ViTImageProcessor(size=HW, image_mean=[0.5], image_std=[0.25])
    assert pixels(processor, 1, None)[1:4] == (pytest.approx((0.5,)), pytest.approx((0.25,)), (0,))


def test_a_photo_that_is_not_resized_gets_the_size_of_the_network_or_none():
    processor = transformers.ViTImageProcessor(do_resize=False)
    assert pixels(processor, 3, (40, 60)).size == (40, 60)
    with pytest.raises(DeepInsideError, match="leaves photos as large as they are"):
        pixels(processor, 3, None)


@pytest.mark.parametrize(("name", "options", "message"), [
    ("DonutImageProcessor", {"size": HW}, "DonutImageProcessor: .* pads wide photos"),
    ("ImageGPTImageProcessor", {"clusters": np.zeros((4, 3))}, "makes images of 3 channels, got none"),
    ("Siglip2ImageProcessor", {}, "makes images of 3 channels"),
])  # fmt: skip
def test_what_cannot_be_reproduced_is_refused_in_one_line(name, options, message):
    with pytest.raises(DeepInsideError, match=message) as caught:
        pixels(prepared(name, options), 3, None)
    assert "\n" not in str(caught.value)


class Gray:
    """A processor that makes every photo gray."""

    def __call__(self, images, return_tensors):
        gray = torch.from_numpy(np.array(images)).permute(2, 0, 1).float().mean(0, keepdim=True)
        return {"pixel_values": gray.expand(3, -1, -1)[None, :, :48, :48]}


def test_a_processor_that_mixes_channels_is_refused():
    with pytest.raises(DeepInsideError, match=r"Gray: .* it does more to a color"):
        pixels(Gray(), 3, None)
