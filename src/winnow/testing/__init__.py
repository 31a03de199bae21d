"""The contract of each family of methods, as functions for the tests of who writes one.

Each check takes a method with its settings, tries what the contract of its family asks for, and
fails with one sentence that says what is wrong:

    >>> from winnow.methods import Lion
    >>> from winnow.testing import check_optimizer
    >>> check_optimizer(Lion(weight_decay=0.1))

It says that a method keeps the contract, which makes it fit for fleets; that its numbers are right
is for an oracle to say (a closed form, a library, a slow loop).
"""

from winnow.testing._augment import check_augment
from winnow.testing._averaging import check_averaging
from winnow.testing._compressors import check_compressor
from winnow.testing._gradients import check_gradient_rule
from winnow.testing._losses import check_loss
from winnow.testing._metrics import check_metric
from winnow.testing._noise import check_noise
from winnow.testing._optimizers import check_optimizer
from winnow.testing._penalties import check_penalty
from winnow.testing._samplers import check_sampler
from winnow.testing._scalers import check_scaler
from winnow.testing._schedules import check_schedule
from winnow.testing._steps import check_step
from winnow.testing._stopping import check_stopping

__all__ = [
    "check_augment",
    "check_averaging",
    "check_compressor",
    "check_gradient_rule",
    "check_loss",
    "check_metric",
    "check_noise",
    "check_optimizer",
    "check_penalty",
    "check_sampler",
    "check_scaler",
    "check_schedule",
    "check_step",
    "check_stopping",
]
