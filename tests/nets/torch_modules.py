"""Small networks of torch, built as torchvision and timm build theirs."""

from __future__ import annotations

from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")
nn: Any = torch.nn


class ResidualBlock(nn.Module):
    def __init__(self, channels: int, filters: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, filters, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(filters)
        shrinks = stride > 1
        self.downsample = (
            nn.Sequential(nn.Conv2d(channels, filters, 1, stride, bias=False), nn.BatchNorm2d(filters))
            if shrinks
            else None
        )

    def forward(self, x: Any) -> Any:
        skipped = x if self.downsample is None else self.downsample(x)
        return self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))) + skipped)


class ResNet(nn.Module):
    """As torchvision's, in two stages."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(ResidualBlock(8, 8, 1), ResidualBlock(8, 8, 1))
        self.layer2 = nn.Sequential(ResidualBlock(8, 16, 2))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(16, 10)

    def forward(self, x: Any) -> Any:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.fc(torch.flatten(self.avgpool(self.layer2(self.layer1(x))), 1))


class Attention(nn.Module):
    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(size, 3 * size)
        self.proj = nn.Linear(size, size)

    def forward(self, x: Any) -> Any:
        n, tokens, size = x.shape
        split = self.qkv(x).reshape(n, tokens, 3, self.heads, size // self.heads).permute(2, 0, 3, 1, 4)
        x = nn.functional.scaled_dot_product_attention(*split.unbind(0))
        return self.proj(x.transpose(1, 2).reshape(n, tokens, size))


class TransformerBlock(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(size)
        self.attn = Attention(size, 4)
        self.norm2 = nn.LayerNorm(size)
        self.mlp = nn.Sequential(nn.Linear(size, 4 * size), nn.GELU(), nn.Linear(4 * size, size))

    def forward(self, x: Any) -> Any:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    """As timm's, with two blocks; it carries its preprocessing as timm's models do."""

    def __init__(self, side: int = 32, patch: int = 8, size: int = 32) -> None:
        super().__init__()
        self.pretrained_cfg = {
            "input_size": (3, side, side),
            "crop_pct": 0.9,
            "mean": (0.5, 0.5, 0.5),
            "std": (0.25, 0.5, 0.5),
            "interpolation": "bicubic",
            "architecture": "vit",
        }
        self.patch_embed = nn.Conv2d(3, size, patch, patch)
        self.cls_token = nn.Parameter(torch.randn(1, 1, size))
        self.pos_embed = nn.Parameter(torch.randn(1, (side // patch) ** 2 + 1, size))
        self.blocks = nn.Sequential(*(TransformerBlock(size) for _ in range(2)))
        self.norm = nn.LayerNorm(size)
        self.head = nn.Linear(size, 10)

    def forward(self, x: Any) -> Any:
        x = self.patch_embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], 1) + self.pos_embed
        return self.head(self.norm(self.blocks(x))[:, 0])


def made(kind: type[Any]) -> Any:
    """A module with random parameters, those of its normalisations too."""
    torch.manual_seed(0)
    module = kind()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.running_mean, -0.5, 0.5)
            nn.init.uniform_(part.running_var, 0.5, 2)
    return module
