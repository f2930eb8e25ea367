"""The networks of the sweep: the smallest of each family of timm, and tiny ones of Hugging Face's architectures.

Each is built with random weights of one seed, in which no weight is constant: a scale that begins at zero would hide
the branch behind it from every gradient.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import nn
from torchvision.transforms.functional import to_tensor

PHOTOS = Path(__file__).parents[1] / "photos"
SEED = 1312_6034
SIDE = 128  # pixels, where an architecture takes images of any size

TIMM = [
    "bat_resnext26ts", "beit_base_patch16_224", "botnet26t_256", "caformer_s18", "cait_xxs24_224", "coat_tiny",
    "coatnet_nano_rw_224", "convit_tiny", "convmixer_768_32", "convnext_atto", "convnextv2_atto",
    "crossvit_tiny_240", "cs3darknet_focus_s", "csatv2", "cspdarknet53", "davit_tiny", "deit3_small_patch16_224",
    "deit_tiny_distilled_patch16_224", "densenet121", "dla46_c", "dm_nfnet_f0", "dpn48b", "eca_halonext26ts",
    "edgenext_xx_small", "efficientformer_l1", "efficientformerv2_s0", "efficientnet_b0", "efficientvim_m1",
    "efficientvit_b0", "efficientvit_m0", "ese_vovnet19b_slim", "eva02_tiny_patch14_224", "fasternet_t0",
    "fastvit_t8", "focalnet_tiny_srf", "gcvit_xxtiny", "gernet_s", "ghostnet_050", "hardcorenas_a", "hgnetv2_b0",
    "hiera_tiny_224", "hrnet_w18_small", "iformer_t", "inception_next_atto", "inception_resnet_v2", "inception_v3",
    "inception_v4", "lambda_resnet26t", "lcnet_050", "legacy_seresnet18", "legacy_xception", "levit_128s",
    "lowformer_b0", "mambaout_femto", "maxvit_rmlp_pico_rw_256", "mixer_s32_224", "mixnet_s", "mobilenetv2_035",
    "mobilenetv3_small_050", "mobilenetv4_conv_small_035", "mobileone_s0", "mobilevit_xxs", "mobilevitv2_050",
    "mvitv2_tiny", "nasnetalarge", "nest_tiny", "nextvit_small", "nf_regnet_b0", "pit_ti_224", "pnasnet5large",
    "poolformer_s12", "pvt_v2_b0", "rdnet_tiny", "regnetx_002", "regnety_002", "repghostnet_050", "repvgg_a0",
    "repvit_m0_9", "res2net50_48w_2s", "resmlp_12_224", "resnest14d", "resnet18", "resnet50", "resnetv2_50",
    "rexnet_100", "samvit_base_patch16_224", "selecsls42", "sequencer2d_s", "shvit_s1", "skresnet18", "starnet_s1",
    "swiftformer_xs", "swin_tiny_patch4_window7_224", "swinv2_cr_tiny_224", "swinv2_tiny_window8_256",
    "tf_efficientnet_lite0", "tiny_vit_5m_224", "tinynet_e", "tnt_s_patch16_224", "tresnet_m", "twins_pcpvt_small",
    "twins_svt_small", "vgg11", "vgg11_bn", "visformer_tiny", "vit_relpos_small_patch16_224",
    "vit_tiny_patch16_224", "vit_tiny_r_s16_p8_224", "vitamin_small_224", "volo_d1_224", "xception41",
    "xcit_nano_12_p16_224",
]  # fmt: skip

TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
VISION = {**TINY, "image_size": 64, "patch_size": 8}
FOUR = {"hidden_sizes": [8, 16, 16, 32], "depths": [1, 1, 1, 1]}
RESIZED, SHORT = {"size": {"height": 64, "width": 64}}, {"size": {"shortest_edge": 72}}
CROPPED = {**SHORT, "crop_size": {"height": 64, "width": 64}}
# Name -> (class of the network without `ForImageClassification`, options of its configuration, processor, its options).
HUGGING_FACE: dict[str, tuple[str, dict[str, Any], str, dict[str, Any]]] = {
    "beit": ("Beit", VISION, "Beit", {**RESIZED, "do_center_crop": False}),
    "bit": ("Bit", {**FOUR, "embedding_size": 32, "hidden_sizes": [128] * 4}, "Bit", CROPPED),
    "clip": ("CLIP", {"vision_config": VISION}, "CLIP", CROPPED),
    "convnext": ("ConvNext", FOUR, "ConvNext", {"size": {"shortest_edge": 64}}),
    "convnextv2": ("ConvNextV2", FOUR, "ConvNext", {"size": {"shortest_edge": 64}}),
    "cvt": ("Cvt", {"embed_dim": [16, 48, 96], "depth": [1, 2, 3]}, "ConvNext", {"size": {"shortest_edge": 64}}),
    "data2vec-vision": ("Data2VecVision", VISION, "Beit", {**RESIZED, "do_center_crop": False}),
    "deit": ("DeiT", VISION, "DeiT", CROPPED | RESIZED),
    "dinov2": ("Dinov2", VISION, "Bit", CROPPED),
    "donut-swin": ("DonutSwin", {"image_size": 64, "embed_dim": 16, "depths": [1, 1], "num_heads": [1, 2],
                                 "window_size": 4}, "Donut", RESIZED),
    "efficientnet": ("EfficientNet", {"image_size": 64, "width_coefficient": 0.5, "depth_coefficient": 0.5,
                                      "hidden_dim": 640}, "EfficientNet", RESIZED),
    "focalnet": ("FocalNet", {"image_size": 64, "embed_dim": 16, "depths": [1, 1, 1, 1]}, "Bit", CROPPED),
    "hiera": ("Hiera", {"image_size": [64, 64], "embed_dim": 16, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2],
                        "mlp_ratio": 2.0}, "Bit", CROPPED),
    "imagegpt": ("ImageGPT", {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 64}, "ImageGPT",
                 {"clusters": [[0, 0, 0]] * 4}),
    "levit": ("Levit", {"image_size": 64, "hidden_sizes": [32, 48, 64], "num_attention_heads": [2, 3, 4],
                        "depths": [1, 1, 1], "key_dim": [8, 8, 8]}, "Levit", CROPPED),
    "mobilenet_v1": ("MobileNetV1", {"depth_multiplier": 0.25}, "MobileNetV1", CROPPED),
    "mobilenet_v2": ("MobileNetV2", {"depth_multiplier": 0.35}, "MobileNetV2", CROPPED),
    "mobilevit": ("MobileViT", {"image_size": 64, "hidden_sizes": [32, 32, 32]}, "MobileViT", CROPPED),
    "mobilevitv2": ("MobileViTV2", {"image_size": 64, "width_multiplier": 0.5}, "MobileViT", CROPPED),
    "poolformer": ("PoolFormer", FOUR, "PoolFormer", CROPPED),
    "pvt": ("Pvt", {"image_size": 64, **FOUR, "num_attention_heads": [1, 1, 2, 4]}, "Pvt", RESIZED),
    "pvt_v2": ("PvtV2", {"image_size": 64, **FOUR, "num_attention_heads": [1, 1, 2, 4]}, "Pvt", RESIZED),
    "regnet": ("RegNet", {**FOUR, "embedding_size": 8, "groups_width": 8}, "ConvNext", {"size": {"shortest_edge": 64}}),
    "resnet": ("ResNet", {**FOUR, "embedding_size": 8}, "ConvNext", {"size": {"shortest_edge": 64}}),
    "segformer": ("Segformer", {"hidden_sizes": [8, 16, 16, 32], "depths": [1, 1, 1, 1]}, "Segformer", RESIZED),
    "siglip": ("Siglip", {"vision_config": VISION}, "Siglip", RESIZED),
    "siglip2": ("Siglip2", {"vision_config": {**TINY, "patch_size": 8}}, "Siglip2", {}),
    "swiftformer": ("SwiftFormer", {"image_size": 64, "depths": [1, 1, 1, 1]}, "ViT", RESIZED),
    "swin": ("Swin", {"image_size": 64, "embed_dim": 16, "depths": [1, 1], "num_heads": [1, 2], "window_size": 4},
             "ViT", RESIZED),
    "swinv2": ("Swinv2", {"image_size": 64, "embed_dim": 16, "depths": [1, 1], "num_heads": [1, 2], "window_size": 4},
               "ViT", RESIZED),
    "textnet": ("TextNet", {}, "TextNet", {"size": {"shortest_edge": 64}}),
    "vit": ("ViT", VISION, "ViT", RESIZED),
    "vit_msn": ("ViTMSN", VISION, "ViT", RESIZED),
}  # fmt: skip


class Subject(NamedTuple):
    """A network, its size in pixels, and its library's own pixels of a photo of this size."""

    network: nn.Module
    size: tuple[int, int]
    mean: Any
    std: Any
    prepare: Callable[[Any], torch.Tensor]


def names() -> list[str]:
    """The networks of the sweep as `load` calls them."""
    return [f"timm:{name}" for name in TIMM] + [f"hf:{name}" for name in HUGGING_FACE]


def subject(name: str, folder: str) -> Subject:
    """Build a network; those of Hugging Face are saved to a folder, for `load` to read."""
    hub, _, rest = name.partition(":")
    return of_timm(rest) if hub == "timm" else of_hugging_face(rest, folder)


def of_timm(name: str) -> Subject:
    """A network of timm, behind its own transform without the crop."""
    import timm
    from timm.data import create_transform, resolve_data_config

    told = timm.get_pretrained_cfg(name)
    config = resolve_data_config({}, pretrained_cfg=told.to_dict())
    fixed = told.fixed_input_size or max(told.min_input_size or [0]) > SIDE
    size = tuple(config["input_size"][1:]) if fixed else (SIDE, SIDE)
    network = randomized(lambda: timm.create_model(name), size)
    transform = create_transform(**{**config, "input_size": (3, *size), "crop_pct": 1.0, "crop_mode": "squash"})
    return Subject(network, size, config["mean"], config["std"], lambda photo: transform(photo)[None])


def of_hugging_face(name: str, folder: str) -> Subject:
    """A tiny network of an architecture, saved with its processor, which is asked neither to resize nor to crop."""
    import transformers

    kind, options, processor_kind, processor_options = HUGGING_FACE[name]
    model = getattr(transformers, f"{kind}ForImageClassification")
    config = model.config_class.from_dict({**json.loads(json.dumps(options)), "num_labels": 10})
    network = randomized(lambda: model(config), (64, 64))
    processor = getattr(transformers, f"{processor_kind}ImageProcessor")(**processor_options)
    network.save_pretrained(folder)
    processor.save_pretrained(folder)

    def prepare(photo: Any) -> torch.Tensor:
        return processor(images=photo, return_tensors="pt", do_resize=False, do_center_crop=False)["pixel_values"]

    return Subject(network, (64, 64), None, None, prepare)


def randomized(make: Callable[[], nn.Module], size: tuple[int, int]) -> nn.Module:
    """A network in evaluation mode, the same every time: no weight is constant, and no signal vanishes on its way.

    The statistics of batch normalization are those of four photos, as after a step of training.
    """
    torch.manual_seed(SEED)
    network = make()
    normalizations = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.numel() > 1 and bool((parameter == parameter.flatten()[0]).all()):
                parameter.add_(0.1 * torch.randn_like(parameter))
        if normalizations:
            for module in normalizations:
                module.momentum = 1.0
            network.train()(photos(size))
    return network.eval()


def photos(size: tuple[int, int]) -> torch.Tensor:
    """The photos of the repository, (4, 3, height, width), roughly normalized."""
    images = [Image.open(path).convert("RGB").resize(size[::-1]) for path in sorted(PHOTOS.glob("*.jpg"))]
    return torch.stack([(to_tensor(image) - 0.5) / 0.25 for image in images])
