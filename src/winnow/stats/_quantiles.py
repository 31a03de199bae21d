"""Two-sided quantiles: how far a statistic strays from its center at a confidence."""

from __future__ import annotations

from scipy import special

__all__ = ["normal_quantile", "t_quantile"]

# scipy.special, not scipy.stats: the import of the latter takes longer than most commands do


def normal_quantile(confidence: float) -> float:
    """Return z such that a standard normal value lies in [-z, z] with this probability.

    Args:
        confidence: in (0, 1).
    """
    return float(special.ndtri((1 + confidence) / 2))


def t_quantile(freedom: float, confidence: float) -> float:
    """Return t such that Student's t lies in [-t, t] with probability ``confidence``.

    Args:
        freedom: degrees of freedom, > 0; they need not be whole.
        confidence: in (0, 1).
    """
    return float(special.stdtrit(freedom, (1 + confidence) / 2))
