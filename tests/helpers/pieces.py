"""Parts of random networks, which keep four channels."""

import torch
from helpers.networks import Does
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


def branches(draw: st.DrawFn) -> nn.Module:
    stride = draw(st.integers(1, 2))
    return Does(
        lambda self, x: self.join(torch.cat([self.one(x), F.relu(self.two(x)), self.three(x)], 1)),
        one=nn.Conv2d(4, 2, 1, stride),
        two=nn.Sequential(nn.Conv2d(4, 2, 3, stride, 1), nn.Conv2d(2, 2, (1, 5), padding=(0, 2))),
        three=nn.MaxPool2d(3, stride, 1),
        join=nn.Conv2d(8, 4, 1),
    )


def gate_of_places(draw: st.DrawFn) -> nn.Module:
    return Does(lambda self, x: x * torch.sigmoid(self.conv(x)), conv=nn.Conv2d(4, 4, 3, padding=1))


def shuffle(draw: st.DrawFn) -> nn.Module:
    def forward(self: Does, x: Tensor) -> Tensor:
        left, right = x.chunk(2, 1)
        y = torch.cat([left, self.conv(right)], 1)
        return y.view(len(y), 2, -1, *y.shape[2:]).transpose(1, 2).reshape(y.shape)

    return Does(forward, conv=nn.Conv2d(2, 2, 3, padding=1))
