"""Validation metrics of all members at once, added up piece by piece so that no more than a piece
is held.

A metric that is no sum over rows, such as the area under the ROC curve, is the exception: of all
rows the outputs are kept that it needs.

What is added up is apart for each part of the rows, because the halves of the validation rows
choose each other's epoch. Sums of different rows, also of different epochs, add up to those of all
of them; metrics are made from sums. A metric of all rows is made of each part apart; that of
several parts together is the mean of theirs.

Axes: V members, B rows of a piece, N all rows, H parts of the rows, G groups of parts, C classes, K
sums.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from winnow.metrics import METRICS, BaseMetric, ClassRows, NumberRows, Rows, Targets
from winnow.recipe import Task, metric_of

__all__ = [
    "ClassMetricState",
    "MetricState",
    "Metrics",
    "NumberMetricState",
    "kept_bytes",
    "membership",
    "open_metric_state",
]

Metrics = dict[str, NDArray[np.float64]]


class MetricState(ABC):
    """Sums over the rows that were added.

    Args:
        metrics: by name.
        parts: of the rows that are added up apart.
    """

    def __init__(self, metrics: Mapping[str, type[BaseMetric]], parts: int = 1) -> None:
        self.parts = parts
        self._added_up = {n: m for n, m in metrics.items() if m.added_up}
        self._of_all_rows = {n: m for n, m in metrics.items() if not m.added_up}
        self._sizes: list[int] = []  # of each that is added up, how many sums
        self._sums_VHK: Tensor | float = 0.0
        # Of each piece: outputs (V, B, K), targets, parts (B, H)
        self._kept: list[tuple[Tensor, Tensor, Tensor]] = []

    def add(self, outputs_VBC: Tensor, targets_B: Tensor, of_part_BH: Tensor | None = None) -> None:
        """Count some rows in.

        Args:
            outputs_VBC: the members' outputs for them.
            targets_B: their targets.
            of_part_BH: 1 where a row is of a part, else 0, in double precision (see
                ``membership``); None: all are of the first.
        """
        if of_part_BH is None:
            of_part_BH = membership(torch.zeros_like(targets_B, dtype=torch.int64), self.parts)
        rows = self._rows(outputs_VBC, targets_B, of_part_BH)
        found = [self._loss(rows)] + [metric.sums(rows) for metric in self._added_up.values()]
        self._sizes = [sums.shape[-1] for sums in found]
        if self._of_all_rows:
            columns = max(m.kept_columns(outputs_VBC.shape[-1]) for m in self._of_all_rows.values())
            self._kept.append((*self._keep(rows, columns), of_part_BH))
        self._sums_VHK = self._sums_VHK + torch.cat(found, dim=-1)

    def sums(self) -> Tensor:
        """Return what metrics are made of: of each part and, behind them, of all together where
        there are several, (variants, groups, sums) in double precision. ``groups`` says which parts
        are in each.
        """
        sums_VHK = torch.as_tensor(self._sums_VHK)
        sums_VGK = (
            sums_VHK
            if self.parts == 1
            else torch.cat([sums_VHK, sums_VHK.sum(dim=1, keepdim=True)], dim=1)
        )
        if not self._of_all_rows:
            return sums_VGK
        kept_VNK, y_N, of_part_NH = self._all_kept()
        masks = [column_N > 0 for column_N in of_part_NH.unbind(dim=1)] if self.parts > 1 else []
        pieces = [sums_VGK]
        for metric in self._of_all_rows.values():
            mine_VNK = kept_VNK[..., -metric.kept_columns(kept_VNK.shape[-1]) :]
            found = [metric.of_all_rows(mine_VNK[:, mask_N], y_N[mask_N]) for mask_N in masks]
            # as if added over the parts
            found.append(metric.of_all_rows(mine_VNK, y_N) * self.parts)
            pieces.append(torch.stack(found, dim=1).unsqueeze(-1))
        return torch.cat(pieces, dim=-1)

    @property
    def groups(self) -> list[list[int]]:
        """The parts that make up each group of ``sums``; the last has all."""
        return [[h] for h in range(self.parts)] + (
            [list(range(self.parts))] if self.parts > 1 else []
        )

    def metrics(self, sums_VGK: NDArray[np.float64], groups: Sequence[Sequence[int]]) -> Metrics:
        """Return metrics by name, each (variants, groups), and under ``loss`` the training loss's
        kind without smoothing.

        Args:
            sums_VGK: added over the parts of each group, whose rows may be of different epochs.
            groups: the parts.
        """
        targets = self._targets(groups)
        ends = np.cumsum(self._sizes)
        found = {"loss": sums_VGK[..., 0] / targets.rows}
        for (name, metric), start, end in zip(
            self._added_up.items(), ends[:-1], ends[1:], strict=True
        ):
            found[name] = metric.from_sums(sums_VGK[..., start:end], targets)
        parts_G = [len(group) for group in groups]
        for i, name in enumerate(self._of_all_rows):
            found[name] = sums_VGK[..., ends[-1] + i] / parts_G
        return found

    def _all_kept(self) -> tuple[Tensor, Tensor, Tensor]:
        if len(self._kept) > 1:
            kept, y, of_part = zip(*self._kept, strict=True)
            # So that the pieces are let go
            self._kept = [(torch.cat(kept, dim=1), torch.cat(y), torch.cat(of_part))]
        return self._kept[0]

    @abstractmethod
    def _rows(self, outputs_VBC: Tensor, targets_B: Tensor, of_part_BH: Tensor) -> Rows:
        """Return some rows as metrics see them, and remember what metrics need to know of the
        targets.
        """

    @abstractmethod
    def _loss(self, rows: Rows) -> Tensor:
        """Return the training loss's kind, added up, (variants, parts, 1)."""

    @abstractmethod
    def _keep(self, rows: Rows, columns: int) -> tuple[Tensor, Tensor]:
        """Return the last columns of what metrics of all rows are made from, and their targets."""

    @abstractmethod
    def _targets(self, groups: Sequence[Sequence[int]]) -> Targets:
        """Return what is known of the targets of each group of parts."""


def membership(part_N: Tensor, parts: int) -> Tensor:
    """Return 1 where a row is of a part, else 0, (rows, parts) in double precision, of the part of
    each row.
    """
    return (part_N.unsqueeze(1) == torch.arange(parts, device=part_N.device)).double()


class ClassMetricState(MetricState):
    """Metrics of logits and labels, and the log loss in nats."""

    def __init__(self, metrics: Mapping[str, type[BaseMetric]], parts: int = 1) -> None:
        super().__init__(metrics, parts)
        self._counts_HC: Tensor | float = 0.0

    def _rows(self, outputs_VBC: Tensor, targets_B: Tensor, of_part_BH: Tensor) -> ClassRows:
        rows = ClassRows(outputs_VBC, targets_B, of_part_BH)
        self._counts_HC = self._counts_HC + rows.key.sum(dim=0)
        return rows

    def _loss(self, rows: Rows) -> Tensor:
        assert isinstance(rows, ClassRows)
        return rows.loss.unsqueeze(-1)

    def _keep(self, rows: Rows, columns: int) -> tuple[Tensor, Tensor]:
        assert isinstance(rows, ClassRows)
        return rows.log_probability[..., -columns:].exp(), rows.targets

    def _targets(self, groups: Sequence[Sequence[int]]) -> Targets:
        counts_HC = torch.as_tensor(self._counts_HC).cpu().numpy()
        counts_GC = np.stack([counts_HC[group].sum(axis=0) for group in groups])
        rows_G = counts_GC.sum(axis=1)
        return Targets(rows_G, counts_GC, np.zeros_like(rows_G))


class NumberMetricState(MetricState):
    """Metrics of standardized predictions and targets, and the mean squared error of those.

    Args:
        metrics: by name.
        parts: of the rows that are added up apart.
        scale, center: a target in its own units is ``scale * standardized + center``.
    """

    def __init__(
        self,
        metrics: Mapping[str, type[BaseMetric]],
        parts: int = 1,
        *,
        scale: float = 1.0,
        center: float = 0.0,
    ) -> None:
        super().__init__(metrics, parts)
        self._scale, self._center = scale, center
        self._targets_3H: Tensor | None = None

    def _rows(self, outputs_VBC: Tensor, targets_B: Tensor, of_part_BH: Tensor) -> NumberRows:
        rows = NumberRows(outputs_VBC, targets_B, of_part_BH, self._scale, self._center)
        y_B = rows.y
        rows_H = of_part_BH.sum(dim=0)
        mean_H = rows.by_part(y_B.unsqueeze(0))[0] / rows_H.clamp(min=1)
        spread_H = ((y_B.unsqueeze(1) - mean_H).square() * of_part_BH).sum(dim=0)
        piece_3H = torch.stack([rows_H, mean_H, spread_H])
        self._targets_3H = (
            piece_3H if self._targets_3H is None else _merged(self._targets_3H, piece_3H)
        )
        return rows

    def _loss(self, rows: Rows) -> Tensor:
        assert isinstance(rows, NumberRows)
        return rows.loss.unsqueeze(-1)

    def _keep(self, rows: Rows, columns: int) -> tuple[Tensor, Tensor]:
        assert isinstance(rows, NumberRows)
        return (
            rows.outputs.double() * self._scale + self._center,
            rows.y * self._scale + self._center,
        )

    def _targets(self, groups: Sequence[Sequence[int]]) -> Targets:
        assert self._targets_3H is not None
        targets_3H = self._targets_3H.cpu()
        targets_3G = torch.stack(
            [functools.reduce(_merged, targets_3H[:, group].unbind(dim=1)) for group in groups],
            dim=1,
        )
        rows_G, _, spread_G = targets_3G.numpy()
        return Targets(rows_G, np.zeros((len(rows_G), 0)), spread_G, self._scale)


def open_metric_state(
    task: Task, metric: str, *, scale: float = 1.0, center: float = 0.0, parts: int = 1
) -> MetricState:
    """Return the metric state of a task and of what it is to score.

    Args:
        task: classification or regression.
        metric: what is optimized, beside what is always reported; "": nothing.
        scale, center: of a regression's target.
        parts: of the rows.
    """
    metrics = {m.name: m for m in METRICS if m.task == task and m.in_validation}
    if metric:
        metrics[metric] = metric_of(metric)
    if task == "classification":
        return ClassMetricState(metrics, parts)
    return NumberMetricState(metrics, parts, scale=scale, center=center)


def kept_bytes(metric: type[BaseMetric], rows: int, outputs: int) -> int:
    """Return what a metric state holds for one member at most because of a metric of all rows, in
    bytes; 0 for one that is added up.

    The outputs in pieces and once more as one tensor, then for one class at a time its scores, the
    sorted ones with their places, and ranks of the rows inside it, all of eight bytes.
    """
    return 0 if metric.added_up else 8 * rows * (2 * metric.kept_columns(outputs) + 7)


def _merged(a: Tensor, b: Tensor) -> Tensor:
    """Return number, mean and sum of squared distances from the mean, (3, ...), of the rows of
    both.

    Source: Chan, Golub and LeVeque (1983); sums of squares would cancel where the mean is large.
    """
    total = a[0] + b[0]
    share = b[0] / total.clamp(min=1)
    shift = b[1] - a[1]
    return torch.stack([total, a[1] + shift * share, a[2] + b[2] + shift.square() * a[0] * share])
