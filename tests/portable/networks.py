"""Small networks for exports, with the parts that larger ones are made of."""

import torch
from torch import nn


class Tiny(nn.Module):
    """One layer, and four classes."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 8, 3, 2)
        self.head = nn.Linear(8, 4)

    def forward(self, images):
        return self.head(torch.relu(self.layer(images)).mean((2, 3)))


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.one = nn.Conv2d(channels, channels, 3, padding=1, groups=2, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x):
        return torch.relu(x + self.norm(self.one(x)))


class Small(nn.Module):
    """Strides 2 to 32 with pooling, batch norms, a residual, and six classes."""

    def __init__(self, head=True):
        super().__init__()
        widths = [8, 12, 16, 20, 24]
        self.stages = nn.Sequential()
        before = 3
        for number, width in enumerate(widths):
            down = nn.MaxPool2d(3, 2, 1) if number == 1 else nn.Conv2d(before, before, 3, 2, 1)
            block = Block(width) if number == 3 else nn.ReLU6()
            self.stages.append(nn.Sequential(down, nn.Conv2d(before, width, 1), block))
            before = width
        self.head = nn.Linear(before, 6)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-0.1, 0.1)
                module.running_var.uniform_(0.5, 1.5)

    def forward(self, images):
        return self.head(self.stages(2 * images - 1).mean((2, 3)))


class Tokens(nn.Module):
    """A transformer of one block that takes pictures of one size only, and returns its scores with other things."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 8, 8)
        self.places = nn.Parameter(torch.randn(1, 64, 16))
        self.blocks = nn.Sequential(
            *(nn.TransformerEncoderLayer(16, 2, 32, activation="gelu", batch_first=True) for _ in range(1))
        )
        self.norm = nn.LayerNorm(16)
        self.head = nn.Linear(16, 6)

    def forward(self, images):
        tokens = self.norm(self.blocks(self.patches(images).flatten(2).transpose(1, 2) + self.places))
        return {"features": tokens, "logits": self.head(tokens.mean(1))}


class Looking(nn.Module):
    """Takes its way by what it computes."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3, 2)

    def forward(self, images):
        scores = self.layer(images).mean((2, 3))
        return scores if scores.sum() > 0 else -scores


def seeded(make, *arguments):
    torch.manual_seed(5)
    return make(*arguments).eval()
