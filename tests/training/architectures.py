"""User modules that the project knows nothing about, each (B, 12) -> (B, 3), unless it says
otherwise.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Plain(nn.Sequential):
    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__(nn.Linear(12, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 3))


class Normed(nn.Module):
    """Batch normalization, branches, dropout used twice under one name."""

    def __init__(self, dropout: float = 0.3) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(12, 8), nn.Linear(12, 8)
        self.norm, self.layer = nn.BatchNorm1d(16), nn.LayerNorm(16)
        self.drop = nn.Dropout(dropout)
        self.out = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(torch.cat([self.left(x).relu(), self.right(x).tanh()], dim=1))
        h = self.drop(h) + self.layer(self.drop(h))
        return self.out(h)


class Recurrent(nn.Module):
    """An LSTM over 4 steps of 3 numbers, batch normalization and dropout behind it."""

    def __init__(self, dropout: float = 0.2, cell: str = "LSTM") -> None:
        super().__init__()
        self.rnn = getattr(nn, cell)(3, 8, batch_first=True)
        self.norm, self.drop, self.out = nn.BatchNorm1d(8), nn.Dropout(dropout), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.rnn(x.view(-1, 4, 3))
        return self.out(self.drop(self.norm(states[:, -1])))


class Deep(nn.Module):
    """Two layers of LSTM in both directions, dropout between them."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, 5, num_layers=2, dropout=0.3, bidirectional=True)
        self.out = nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.rnn(x.view(-1, 4, 3).transpose(0, 1))
        return self.out(states.mean(dim=0))


class Gated(Recurrent):
    def __init__(self) -> None:
        super().__init__(cell="GRU")


class Convolutional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.group, self.drop = nn.GroupNorm(2, 4), nn.Dropout2d(0.25)
        self.pool, self.out = nn.MaxPool2d(2), nn.Linear(4 * 2 * 1, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.group(self.drop(self.norm(self.conv(x.view(-1, 1, 4, 3)).relu())))
        return self.out(self.pool(h).flatten(1))


class Attentive(nn.Module):
    """One transformer encoder layer without its own dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(3, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.out = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.layer(self.embed(x.view(-1, 4, 3))).mean(dim=1))


class Embedded(nn.Module):
    """Buckets each number and looks it up; the table is also used, tied, at the output."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(3, 6)
        self.mix = nn.Linear(12 * 6, 6)

    def forward(self, x: Tensor) -> Tensor:
        codes = torch.bucketize(x.detach(), torch.tensor([-0.5, 0.5], dtype=x.dtype))
        return self.mix(self.table(codes).flatten(1)).relu() @ self.table.weight.T


class Frozen(nn.Module):
    """A first layer that does not learn, a buffer of its own, a list of layers."""

    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Linear(12, 10)
        for parameter in self.base.parameters():
            parameter.requires_grad_(False)
        self.register_buffer("shift", torch.randn(10))
        self.layers = nn.ModuleList(nn.Linear(10, 10) for _ in range(3))
        self.out = nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.base(x) + self.shift
        for layer in self.layers:
            h = h + layer(h).relu()
        return self.out(h)


class Transposed(nn.Module):
    """Convolutions along time, instance norm, PReLU, average pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.up = nn.Conv1d(3, 6, 3, padding=1), nn.ConvTranspose1d(6, 4, 2, stride=2)
        self.norm, self.act = nn.InstanceNorm1d(6, affine=True), nn.PReLU()
        self.out = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.up(self.act(self.norm(self.conv(x.view(-1, 3, 4))))).mean(dim=-1))


class Bilinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pair, self.norm, self.out = nn.Bilinear(6, 6, 8), nn.RMSNorm(8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(nn.functional.gelu(self.norm(self.pair(x[:, :6], x[:, 6:]))))


class Highway(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate, self.body, self.scale = (
            nn.Linear(12, 12),
            nn.Linear(12, 12),
            nn.Parameter(torch.ones(12)),
        )
        self.out = nn.utils.parametrizations.weight_norm(nn.Linear(12, 3))

    def forward(self, x: Tensor) -> Tensor:
        gate = self.gate(x).sigmoid()
        return self.out(gate * self.body(x).relu() * self.scale + (1 - gate) * x)


class Branching(nn.Module):
    """Control flow on values: cannot be stacked."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(12, 3), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x) if self.a(x).sum() > 0 else self.b(x)


class OwnNoise(nn.Module):
    """Draws from the global generator: cannot be stacked."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x * (1 + torch.rand_like(x)) if self.training else x)


class Transformer(nn.Module):
    """PyTorch's encoder as it comes, with dropout everywhere, in the attention too."""

    def __init__(self, dropout: float = 0.1) -> None:
        super().__init__()
        self.embed = nn.Linear(3, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=dropout, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.out = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.encoder(self.embed(x.view(-1, 4, 3))).mean(dim=1))


class Attended(nn.Module):
    """Attention with dropout, a causal mask and its weights put to use; called twice."""

    def __init__(self, dropout: float = 0.2) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(
            6, 2, dropout=dropout, kdim=3, vdim=3, add_bias_kv=True
        )
        self.query = nn.Parameter(torch.ones(4, 1, 6))
        self.out = nn.Linear(6 + 5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x.view(-1, 4, 3).transpose(0, 1)
        hidden = torch.ones(4, 4, dtype=torch.bool).triu(1)
        query, weights = self.attention(
            self.query.expand(-1, x.shape[1], -1), x, x, attn_mask=hidden
        )
        h, _ = self.attention(query, x, x, need_weights=False)
        return self.out(torch.cat([h.mean(dim=0), weights.mean(dim=1)], dim=1))


class Functional(nn.Module):
    """Dropout by functions: of elements, twice, of channels, and of attention weights; and a
    layer among them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.out = nn.Linear(12, 12), nn.Linear(12, 12), nn.Linear(12, 3)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        h = nn.functional.dropout(self.first(x).relu(), 0.2, self.training)
        h = nn.functional.dropout(self.drop(self.second(h)).tanh(), 0.1, self.training)
        h = nn.functional.dropout1d(h.view(-1, 4, 3), 0.25, self.training)
        rate = 0.3 if self.training else 0.0
        h = h + nn.functional.scaled_dot_product_attention(h, h, h, dropout_p=rate, is_causal=True)
        return self.out(h.flatten(1))


class FunctionalAttention(nn.Module):
    """Both ways at once: a layer of attention with dropout, and PyTorch's function for it
    called by hand.
    """

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.own = (
            nn.MultiheadAttention(4, 2, dropout=0.2),
            nn.MultiheadAttention(4, 2),
        )
        self.out = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = nn.functional.dropout(x, 0.1, self.training).view(-1, 3, 4).transpose(0, 1)
        h = h + self.attention(h, h, h)[0]
        own = self.own
        h = nn.functional.multi_head_attention_forward(
            h,
            h,
            h,
            4,
            2,
            own.in_proj_weight,
            own.in_proj_bias,
            None,
            None,
            False,
            0.3,
            own.out_proj.weight,
            own.out_proj.bias,
            training=self.training,
        )[0]
        return self.out(h.transpose(0, 1).flatten(1))


STACKABLE = [
    Plain,
    Normed,
    Recurrent,
    Gated,
    Convolutional,
    Attentive,
    Embedded,
    Frozen,
    Transposed,
    Bilinear,
    Highway,
    Transformer,
    Attended,
    Functional,
    FunctionalAttention,
]
