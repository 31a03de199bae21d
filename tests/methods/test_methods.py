"""Every method against PyTorch's own, member by member."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn

from winnow import methods
from winnow.recipe import Constant, Cosine, OneCycle

V, P = 4, 37


def _column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64).unsqueeze(1)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_cross_entropy_equals_torch(generator: torch.Generator) -> None:
    logits = torch.randn(V, 9, 5, dtype=torch.float64, generator=generator)
    labels = torch.randint(0, 5, (V, 9), generator=generator)
    smoothing = torch.tensor([0.0, 0.1, 0.5, 0.9], dtype=torch.float64)
    found = methods.cross_entropy(logits, labels, smoothing)
    expected = [nn.functional.cross_entropy(logits[v], labels[v], label_smoothing=float(smoothing[v])) for v in range(V)]
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-13, atol=1e-13)
    plain = torch.stack([nn.functional.cross_entropy(logits[v], labels[v]) for v in range(V)])
    torch.testing.assert_close(methods.cross_entropy(logits, labels), plain, rtol=1e-13, atol=1e-13)


def test_mean_squared_error_equals_torch(generator: torch.Generator) -> None:
    outputs = torch.randn(V, 9, 1, dtype=torch.float64, generator=generator)
    targets = torch.randn(V, 9, dtype=torch.float64, generator=generator)
    expected = torch.stack([nn.functional.mse_loss(outputs[v, :, 0], targets[v]) for v in range(V)])
    torch.testing.assert_close(methods.mean_squared_error(outputs, targets), expected)


def test_penalty_is_the_gradient_of_elastic_net(generator: torch.Generator) -> None:
    params = torch.randn(V, P, dtype=torch.float64, generator=generator)
    params[0, 0] = 0.0
    l1, l2 = _column(0.0, 0.1, 0.0, 0.3), _column(0.2, 0.0, 0.0, 0.4)
    leaf = params.clone().requires_grad_()
    (l1 * leaf.abs() + l2 / 2 * leaf.square()).sum().backward()
    grad = torch.zeros_like(params)
    methods.add_penalty_(grad, params, l1, l2)
    torch.testing.assert_close(grad, leaf.grad)


def test_clipping_equals_torch(generator: torch.Generator) -> None:
    grad = torch.randn(V, P, dtype=torch.float64, generator=generator) * _column(0.01, 1.0, 10.0, 100.0)
    largest = torch.tensor([1.0, math.inf, 2.0, 0.5], dtype=torch.float64)
    expected, norms = [], []
    for v in range(V):
        parameter = nn.Parameter(torch.zeros(P, dtype=torch.float64))
        parameter.grad = grad[v].clone()
        norms.append(nn.utils.clip_grad_norm_([parameter], float(largest[v])))
        expected.append(parameter.grad)
    pieces = [grad[:, :10], grad[:, 10:]]
    found = methods.clip_by_norm_(pieces, largest)
    torch.testing.assert_close(grad, torch.stack(expected))
    torch.testing.assert_close(found, torch.stack(norms))


def _follow(
    name: str, settings: dict[str, torch.Tensor], oracles: list[torch.optim.Optimizer], params: list[nn.Parameter]
) -> None:
    """Run our step beside ``torch.optim`` for 30 steps of changing gradients and rates."""
    generator = torch.Generator().manual_seed(1)
    method = methods.OPTIMIZERS[name]
    ours = torch.stack([p.detach().clone() for p in params])
    state = method.init(ours)
    for t in range(30):
        grad = torch.randn(V, P, dtype=torch.float64, generator=generator)
        lr = _column(0.1, 0.01, 0.003, 0.2) * (1 - t / 40)
        for v, (oracle, parameter) in enumerate(zip(oracles, params, strict=True)):
            parameter.grad = grad[v].clone()
            oracle.param_groups[0]["lr"] = float(lr[v])
            oracle.step()
        factors = method.factors(lr=lr, step=torch.tensor(t + 1.0, dtype=torch.float64), **settings)
        method.step_(ours, grad.clone(), state, **factors)
    torch.testing.assert_close(ours, torch.stack([p.detach() for p in params]), rtol=1e-12, atol=1e-12)


def test_sgd_equals_torch(generator: torch.Generator) -> None:
    momentum, nesterov, decay = (0.9, 0.0, 0.5, 0.99), (True, False, True, False), (0.0, 0.1, 0.01, 0.0)
    params = [nn.Parameter(torch.randn(P, dtype=torch.float64, generator=generator)) for _ in range(V)]
    oracles: list[torch.optim.Optimizer] = [
        torch.optim.SGD([p], lr=0.1, momentum=m, nesterov=n, weight_decay=d)
        for p, m, n, d in zip(params, momentum, nesterov, decay, strict=True)
    ]
    settings = {"momentum": _column(*momentum), "nesterov": _column(*map(float, nesterov)), "weight_decay": _column(*decay)}
    _follow("sgd", settings, oracles, params)


def test_adamw_equals_torch(generator: torch.Generator) -> None:
    beta1, beta2, eps, decay = (0.9, 0.8, 0.0, 0.95), (0.999, 0.9, 0.99, 0.95), (1e-8, 1e-6, 1e-3, 1e-8), (0.0, 0.1, 0.01, 0.3)
    params = [nn.Parameter(torch.randn(P, dtype=torch.float64, generator=generator)) for _ in range(V)]
    oracles: list[torch.optim.Optimizer] = [
        torch.optim.AdamW([p], lr=0.1, betas=(b1, b2), eps=e, weight_decay=d)
        for p, b1, b2, e, d in zip(params, beta1, beta2, eps, decay, strict=True)
    ]
    settings = {"beta1": _column(*beta1), "beta2": _column(*beta2), "eps": _column(*eps), "weight_decay": _column(*decay)}
    _follow("adamw", settings, oracles, params)


@pytest.mark.parametrize("steps", [1, 2, 7, 100])
def test_schedules_equal_torch(steps: int) -> None:
    def course(make: object, lr: float = 0.2) -> np.ndarray:
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr)
        scheduler = make(optimizer)  # type: ignore[operator]
        rates = []
        for _ in range(steps):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        return np.array(rates) / lr

    plain = course(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=steps))
    np.testing.assert_allclose(methods.factors(Cosine(), steps), plain, atol=1e-12)
    floor = course(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=steps, eta_min=0.02))
    np.testing.assert_allclose(methods.factors(Cosine(final=0.1), steps), floor, atol=1e-12)
    assert (methods.factors(Constant(), steps) == 1).all()
    if steps > 2:
        make = lambda o: torch.optim.lr_scheduler.OneCycleLR(  # noqa: E731
            o, max_lr=0.2, total_steps=steps + 1, pct_start=0.4 * steps / (steps + 1), cycle_momentum=False
        )
        # torch plans one step more than it is asked for here, so that its last call of step() is allowed
        total = steps + 1
        mine = methods.one_cycle(total, warmup=0.4 * steps / total)[:steps]
        np.testing.assert_allclose(mine, course(make), atol=1e-12)


def test_warmup_rises_linearly_to_the_cosine() -> None:
    found = methods.cosine(100, warmup=0.1)
    np.testing.assert_allclose(found[:11], np.arange(1, 12) / 11)
    assert (np.diff(found[10:]) < 0).all()
    assert methods.factors(OneCycle(), 100).max() == pytest.approx(1.0, abs=2e-3)


def test_dropout_drops_at_its_rate_and_independently() -> None:
    """Against the binomial law: counts over elements, over steps, and agreement between neighbours, layers, steps and members."""
    steps, size, rate = 60, 4096, 0.3
    keys = torch.from_numpy(methods.noise_keys([0, 1], 2, range(steps)))
    threshold = torch.tensor(methods.drop_threshold(rate), dtype=torch.int32)
    kept = torch.stack(
        [torch.stack([torch.stack([methods.dropout_keep(torch.Size([size]), k, threshold) for k in m]) for m in s]) for s in keys]
    ).double()  # (steps, members, layers, elements)

    def z(mean: torch.Tensor, expected: float, variance: float, n: int) -> torch.Tensor:
        return (mean - expected) / math.sqrt(variance / n)

    p = 1 - rate
    assert z(kept.mean(), p, p * rate, kept.numel()).abs() < 4
    assert z(kept.mean(dim=(0, 1, 2)), p, p * rate, steps * 4).abs().max() < 5.5  # every element
    assert z(kept.mean(dim=3), p, p * rate, size).abs().max() < 5  # every mask
    both = {
        "neighbours": kept[..., 1:] * kept[..., :-1],
        "powers of two": kept[..., 1024:] * kept[..., :-1024],
        "halves of one hash": kept[..., : size // 2] * kept[..., size // 2 :],
        "layers": kept[:, :, 0] * kept[:, :, 1],
        "members": kept[:, 0] * kept[:, 1],
        "steps": kept[1:] * kept[:-1],
    }
    for name, product in both.items():
        assert z(product.mean(), p * p, p * p * (1 - p * p), product.numel()).abs() < 4.5, name


def sixteenths(size: int, keys: list[int]) -> np.ndarray:
    """Which sixteenth of its range the random number of each element lies in, read off what survives at fifteen rates."""
    key = torch.tensor(keys, dtype=torch.int32)
    thresholds = [methods.drop_threshold(i / 16) for i in range(1, 16)]
    return torch.stack([methods.dropout_keep(torch.Size([size]), key, t) for t in thresholds]).sum(dim=0).numpy()


def test_dropout_draws_evenly_and_the_halves_of_a_hash_apart() -> None:
    """Chi-square tests: of the numbers of either half, of both together, and of one number under two keys."""
    size = 2**17
    first, other = sixteenths(size, [12345, -678]), sixteenths(size, [12346, -678])
    upper, lower = first[: size // 2], first[size // 2 :]
    for half in (upper, lower):
        assert scipy.stats.chisquare(np.bincount(half, minlength=16)).pvalue > 1e-4
    for a, b in ((upper, lower), (upper[1:], lower[:-1]), (first, other), (first[1:], first[:-1])):
        table = np.bincount(16 * a + b, minlength=256)
        assert scipy.stats.chisquare(table).pvalue > 1e-4


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_dropout_is_the_hash_that_is_documented(size: int) -> None:
    """Against whole numbers of Python, one element at a time."""
    key, threshold = (-123456789, 987654321), methods.drop_threshold(0.37)

    def survives(element: int) -> bool:
        half = (size + 1) // 2
        h = (element % half * 0x9E3779B9 + key[0]) % 2**32
        h = (h ^ h >> 16) * 0x7FEB352D % 2**32
        h ^= key[1] % 2**32
        h = (h ^ h >> 15) * 0x846CA68B % 2**32
        h ^= h >> 16
        number = h >> 16 if element < half else h % 2**16  # of sixteen bits, as if without sign
        return (number + 2**15) % 2**16 >= round(0.37 * 2**16)

    found = methods.dropout_keep(torch.Size([size]), torch.tensor(key, dtype=torch.int32), threshold)
    assert found.tolist() == [survives(i) for i in range(size)]


@pytest.mark.parametrize("rate", [0.0, 1e-9, 0.1, 0.3, 0.5, 1 - 1e-9, 1.0])
def test_what_survives_is_scaled_to_the_mean_that_was(rate: float) -> None:
    threshold = methods.drop_threshold(rate)
    dropped = Fraction(threshold + 2**31, 2**32)
    assert (rate == 0) == (dropped == 0)
    if rate < 1:
        assert abs(dropped - Fraction(rate)) <= Fraction(1, 2**16)
        assert methods.drop_scale(threshold) == pytest.approx(float(1 / (1 - dropped)), rel=1e-15)
    else:
        assert methods.drop_scale(threshold) == 0
    kept = methods.dropout_keep(torch.Size([1000]), torch.tensor([5, 6], dtype=torch.int32), threshold)
    assert {0.0: 1000, 1.0: 0}.get(rate, int(kept.sum())) == int(kept.sum())


def test_noise_keys_do_not_depend_on_who_else_asks() -> None:
    together = methods.noise_keys([3, 5, 8], 4, range(10, 20))
    alone = methods.noise_keys([5], 4, range(15, 16))
    assert (together[5, 1] == alone[0, 0]).all()
    assert len({tuple(k) for k in methods.noise_keys(list(range(50)), 4, range(50)).reshape(-1, 2).tolist()}) == 50 * 50 * 4
