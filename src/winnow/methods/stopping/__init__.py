"""Rules for stopping a training early, each in a file of its own, under the contract of
``BaseStopping``.
"""

from winnow.methods.stopping._base import BaseStopping, SeenEpoch, Stop
from winnow.methods.stopping._generalization_loss import GeneralizationLoss
from winnow.methods.stopping._patience import Patience

__all__ = ["STOPPINGS", "BaseStopping", "GeneralizationLoss", "Patience", "SeenEpoch", "Stop"]

STOPPINGS: tuple[type[BaseStopping], ...] = (Patience, GeneralizationLoss)
