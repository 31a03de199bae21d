"""Validation of a fleet after each epoch, and what each half of the rows scores at the epoch that
the other half chose.

Axes: V members still training, N rows, H parts (halves) of the validation rows, G groups of parts,
K sums that metrics are made of.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from winnow.data import PreparedData
from winnow.training._digest import OutputDigest
from winnow.training._metrics import Metrics, MetricState, membership, open_metric_state
from winnow.training._program import BaseProgram
from winnow.trees import Tree, main

__all__ = ["Pass", "Validation"]


@dataclass(frozen=True)
class Pass:
    """What one pass over the validation rows gave.

    Attributes:
        state: sums that metrics are made of.
        digests: of each member's outputs, (variants,).
        sums: of each group of parts, (variants, groups, sums).
    """

    state: MetricState
    digests: list[int]
    sums: NDArray[np.float64]

    def metrics(self) -> dict[str, list[list[float]]]:
        """Return the metrics of this epoch by name, each (variants, groups)."""
        found = self.state.metrics(self.sums, self.state.groups)
        return {name: values_VG.tolist() for name, values_VG in found.items()}


class Validation:
    """The validation rows of one fleet, in halves where there are enough.

    Args:
        prepared: the data.
        seed: of the data's split, by which rows are halved.
        metric: that is optimized.
        device: where the outputs lie.

    Attributes:
        parts: halves, or 1 where the rows choose the epoch at which they score.
        held: (V, H, K) on the CPU: of each part, the sums at the epoch that the other one chose;
            None before the first epoch.
    """

    def __init__(
        self, prepared: PreparedData, *, seed: int, metric: str, device: torch.device
    ) -> None:
        self._prepared, self._metric = prepared, metric
        half_N = prepared.halves(seed)
        if half_N is None:
            self.parts, part_N = 1, torch.zeros(len(prepared.validation), dtype=torch.int64)
        else:
            self.parts, part_N = 2, torch.from_numpy(half_N)
        self._of_part_NH = membership(part_N, self.parts).to(device)
        self._digest = OutputDigest(len(prepared.validation), device)
        self.held: Tensor | None = None

    @property
    def num_choices(self) -> int:
        """How many sets of rows choose an epoch: each half, and behind them all together."""
        return self.parts if self.parts == 1 else self.parts + 1

    def run(self, program: BaseProgram, rows: Iterator[tuple[Tree, Tree]]) -> Pass:
        """Let every member predict the validation rows.

        Args:
            program: of the members.
            rows: inputs and targets, a piece at a time, in order.
        """
        preparation = self._prepared.preparation
        state = open_metric_state(
            self._prepared.task,
            self._metric,
            scale=preparation.target_scale,
            center=preparation.target_center,
            parts=self.parts,
        )
        self._digest.begin()
        start = 0
        for inputs, targets in rows:
            outputs_VBC, y_B = program.predict(inputs), main(targets)
            state.add(outputs_VBC, y_B, self._of_part_NH[start : start + len(y_B)])
            self._digest.add(outputs_VBC)
            start += len(y_B)
        return Pass(state, self._digest.values().tolist(), state.sums().cpu().numpy())

    def hold(self, found: Pass, improved: Sequence[Sequence[int]]) -> bool:
        """Keep a part's sums where the other part chooses this epoch.

        Args:
            found: in this epoch.
            improved: members (positions) whose best epoch this is, for each set of rows that
                chooses.

        Returns:
            Whether a part chooses it for any member.
        """
        if self.held is None:
            self.held = torch.from_numpy(found.sums[:, : self.parts].copy())
        held_VHK = self.held.numpy()
        for h in range(self.parts):
            scored = self.parts - 1 - h  # the other half; where there is but one part, itself
            held_VHK[improved[h], scored] = found.sums[improved[h], scored]
        return any(improved[: self.parts])

    def score(self, state: MetricState) -> Metrics:
        """Return metrics by what is held of all parts, each (variants, 1)."""
        assert self.held is not None
        sums_V1K = self.held.sum(dim=1, keepdim=True).numpy()
        return state.metrics(sums_V1K, [range(self.parts)])

    def keep(self, rows: Tensor) -> None:
        """Forget all members but ``rows`` (positions, in order)."""
        self.held = None if self.held is None else self.held[rows]

    def copy(self, source: Tensor, target: Tensor) -> None:
        """Let the members ``target`` (positions) have what the members ``source`` have."""
        if self.held is not None:
            self.held[target] = self.held[source]
