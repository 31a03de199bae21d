"""Where fleets train: on a GPU where there is one, else on the processor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from winnow.training._compiled import CompiledProgram, WrongInputs

__all__ = ["CapturedGraph", "can_capture", "training_device"]


def training_device() -> torch.device:
    """Return the GPU that PyTorch has made current, or the processor."""
    return (
        torch.device("cuda", torch.cuda.current_device())
        if torch.cuda.is_available()
        else torch.device("cpu")
    )


def can_capture(device: torch.device) -> bool:
    """Return whether steps on this device can be CUDA graphs."""
    return device.type == "cuda"


class CapturedGraph:
    """A compiled step of one block as a CUDA graph: one launch instead of one for each kernel,
    which for small networks is most of the time.

    Args:
        program: the step.
        own: the block's tensors, changed in place by every call; they must stay where they are.
        batch: the other arguments, whose like come with every call.
    """

    def __init__(
        self, program: CompiledProgram, own: Sequence[Tensor], batch: Sequence[Tensor]
    ) -> None:
        self._batch = [t.clone() for t in batch]
        self._graph = torch.cuda.CUDAGraph()
        # Capturing runs nothing, so the block is as it was afterwards. What the kernels need once
        # (handles, workspaces) is there, because the program has run when it was compiled.
        with torch.cuda.graph(self._graph):
            self._losses = program([*own, *self._batch])

    def __call__(self, batch: Sequence[Tensor]) -> Tensor:
        for mine, theirs in zip(self._batch, batch, strict=True):
            # Copying would broadcast and convert
            if mine.shape != theirs.shape or mine.dtype is not theirs.dtype:
                raise WrongInputs(
                    f"expected {mine.dtype} {tuple(mine.shape)}, got {theirs.dtype} "
                    f"{tuple(theirs.shape)}"
                )
        for mine, theirs in zip(self._batch, batch, strict=True):
            mine.copy_(theirs)
        self._graph.replay()
        return self._losses.clone()
