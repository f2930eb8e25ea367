"""Tokens in rows and columns, and tokens that only look like it."""

import pytest
import torch
from timm.models.hiera import Hiera
from torch import nn

from deepinside.core.errors import DeepInsideError
from deepinside.gradients.placement import check_placed, is_doubtful, misplaced
from deepinside.gradients.private import private_view

SIDE = 8  # tokens


class Tokens(nn.Module):
    """Patches as tokens in the order that `places` gives, with an optional class token; then a residual layer."""

    def __init__(self, places, prefix=0):
        super().__init__()
        self.patches = nn.Conv2d(3, 6, 4, stride=4)
        self.places, self.prefix = places, prefix
        self.ordered, self.block = nn.Identity(), nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 6))
        self.mixed = nn.Identity()

    def forward(self, images):
        tokens = self.patches(images).flatten(2).transpose(1, 2)[:, self.places]
        first = tokens.mean(dim=1, keepdim=True).expand(-1, self.prefix, -1)
        tokens = self.ordered(torch.cat([first, tokens], dim=1))
        tokens = tokens + self.block(tokens)
        return self.mixed(tokens.mean(dim=1, keepdim=True).expand_as(tokens)).mean(dim=1)


ROWS = torch.arange(SIDE * SIDE)
ORDERS = {
    "rows": ROWS,
    "columns": ROWS.view(SIDE, SIDE).T.flatten(),
    "reversed": ROWS.flip(0),
    "at random": torch.randperm(SIDE * SIDE, generator=torch.Generator().manual_seed(3)),
    "pooled": ROWS.view(4, 2, 4, 2).permute(1, 3, 0, 2).flatten(),
    "windows": ROWS.view(2, 4, 2, 4).permute(0, 2, 1, 3).flatten(),
}
IMAGES = torch.zeros(1, 3, 32, 32)


@pytest.mark.parametrize("prefix", [0, 1])
@pytest.mark.parametrize("order", ORDERS)
def test_only_rows_and_columns_are_in_place(order, prefix):
    """A layer whose tokens all answer alike says nothing, and is judged by the layer before it."""
    torch.manual_seed(0)
    private = private_view(Tokens(ORDERS[order], prefix))
    wrong = misplaced(private, IMAGES)
    assert wrong == (set() if order == "rows" else {"ordered", "block.0", "block.1", "block", "mixed"})
    for name in ("ordered", "mixed"):
        if order == "rows":
            check_placed(private, name, (1, prefix + 64, 6), IMAGES)
        else:
            with pytest.raises(DeepInsideError, match=f"layer '{name}' to have rows and columns"):
                check_placed(private, name, (1, prefix + 64, 6), IMAGES)


class Biased(Tokens):
    """Adds what a table of relative positions says of them, which is the same for every picture."""

    def __init__(self):
        super().__init__(ROWS)
        self.table = nn.Sequential(nn.Linear(2, 6))

    def forward(self, images):
        places = torch.stack(torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij"), dim=-1)
        return super().forward(images) + self.table(places[None]).mean(dim=(1, 2))


def test_a_table_of_positions_is_no_grid_of_the_picture():
    assert misplaced(private_view(Biased()), IMAGES) == {"table", "table.0"}


def test_hiera_keeps_its_tokens_in_the_order_of_its_pooling():
    """Of its blocks, only those after the last pooling are in rows and columns; its patches are, before the first."""
    torch.manual_seed(0)
    network = Hiera(img_size=(128, 128), embed_dim=8, num_heads=1, stages=(1, 1, 1, 1), num_classes=3)
    wrong = misplaced(private_view(network), torch.zeros(1, 3, 128, 128))
    assert {"unroll", "blocks.0", "blocks.1", "blocks.2"} <= wrong
    assert not {"patch_embed", "blocks.3"} & wrong


@pytest.mark.parametrize(("shape", "size", "doubtful"), [
    ((1, 8, 7, 7), (224, 224), False), ((1, 8, 7, 10), (224, 320), False), ((1, 64, 7, 10), (224, 224), False),
    ((1, 8, 4, 256), (256, 256), True), ((1, 16, 196, 96), (224, 224), True), ((1, 7, 7, 96), (224, 224), True),
    ((1, 50, 96), (224, 224), True), ((1, 96), (224, 224), False), ((1, 47, 96), (224, 224), False),
    ((1, 8, 1, 1), (64, 192), False), ((1, 8, 1, 2), (64, 192), False), ((1, 8, 2, 2), (64, 192), True),
])  # fmt: skip
def test_shapes_that_need_a_look(shape, size, doubtful):
    assert is_doubtful(shape, size) == doubtful
