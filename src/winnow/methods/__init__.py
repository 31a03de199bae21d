"""The shelf of training methods: plain functions on tensors with a leading V. They know nothing of loops, files or screens."""

from winnow.methods._gradients import add_penalty_, clip_by_norm_
from winnow.methods._losses import cross_entropy, mean_squared_error
from winnow.methods._noise import drop_scale, drop_threshold, dropout_keep, noise_keys
from winnow.methods._optimizers import OPTIMIZERS, OptimizerMethod, adamw_, sgd_
from winnow.methods._schedules import constant, cosine, factors, one_cycle

__all__ = [
    "OPTIMIZERS",
    "OptimizerMethod",
    "adamw_",
    "add_penalty_",
    "clip_by_norm_",
    "constant",
    "cosine",
    "cross_entropy",
    "drop_scale",
    "drop_threshold",
    "dropout_keep",
    "factors",
    "mean_squared_error",
    "noise_keys",
    "one_cycle",
    "sgd_",
]
