"""Every method against PyTorch's own, member by member."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from winnow.methods import (
    L1,
    L2,
    LAMB,
    MSE,
    SGD,
    AdamW,
    BaseOptimizer,
    Centralize,
    ClipNorm,
    ClipValue,
    Constant,
    Cosine,
    CrossEntropy,
    Focal,
    Lion,
    OneCycle,
    Step,
)

V, P = 4, 37


def _column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64).unsqueeze(1)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


# -- losses ----------------------------------------------------------------------------------------


def test_cross_entropy_equals_torch(generator: torch.Generator) -> None:
    logits = torch.randn(V, 9, 5, dtype=torch.float64, generator=generator)
    labels = torch.randint(0, 5, (V, 9), generator=generator)
    smoothing = _column(0.0, 0.1, 0.5, 0.9)
    found = CrossEntropy.per_row(logits, labels, label_smoothing=smoothing)
    for v in range(V):
        expected = nn.functional.cross_entropy(
            logits[v], labels[v], label_smoothing=float(smoothing[v]), reduction="none"
        )
        torch.testing.assert_close(found[v], expected, rtol=1e-13, atol=1e-13)
        plain = nn.functional.cross_entropy(logits[v], labels[v], reduction="none")
        torch.testing.assert_close(
            CrossEntropy.per_row(logits, labels)[v], plain, rtol=1e-13, atol=1e-13
        )


def test_squared_error_equals_torch(generator: torch.Generator) -> None:
    outputs = torch.randn(V, 9, 1, dtype=torch.float64, generator=generator)
    targets = torch.randn(V, 9, dtype=torch.float64, generator=generator)
    found = MSE.per_row(outputs, targets)
    for v in range(V):
        expected = nn.functional.mse_loss(outputs[v, :, 0], targets[v], reduction="none")
        torch.testing.assert_close(found[v], expected)


def test_focal_loss_is_its_formula(generator: torch.Generator) -> None:
    logits = 3 * torch.randn(V, 9, 5, dtype=torch.float64, generator=generator)
    labels = torch.randint(0, 5, (V, 9), generator=generator)
    gamma = _column(0.0, 0.5, 2.0, 5.0)
    p = torch.softmax(logits, dim=-1).gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    expected = -((1 - p) ** gamma) * p.log()
    found = Focal.per_row(logits, labels, gamma=gamma)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(Focal.per_row(logits, labels), -p.log(), rtol=1e-12, atol=1e-12)


def test_focal_loss_has_a_finite_gradient_where_the_model_is_sure() -> None:
    logits = torch.tensor([[[100.0, -100.0]]], requires_grad=True)
    labels = torch.zeros(1, 1, dtype=torch.int64)
    Focal.per_row(logits, labels, gamma=torch.tensor([[0.5]])).sum().backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


# -- penalties and gradient rules ------------------------------------------------------------------


def test_penalties_are_the_gradient_of_the_elastic_net(generator: torch.Generator) -> None:
    params = torch.randn(V, P, dtype=torch.float64, generator=generator)
    params[0, 0] = 0.0
    l1, l2 = _column(0.0, 0.1, 0.0, 0.3), _column(0.2, 0.0, 0.0, 0.4)
    leaf = params.clone().requires_grad_()
    (l1 * leaf.abs() + l2 / 2 * leaf.square()).sum().backward()
    grad = torch.zeros_like(params)
    L1.add_gradient_(grad, params, 1.0, strength=l1)
    L2.add_gradient_(grad, params, 1.0, strength=l2)
    torch.testing.assert_close(grad, leaf.grad)


@pytest.mark.parametrize("penalty", [L1, L2])
def test_a_penalty_leaves_other_parameters_alone(penalty: type[L1] | type[L2]) -> None:
    where = (torch.arange(P) % 2).double()
    grad = torch.zeros(V, P, dtype=torch.float64)
    params = torch.ones(V, P, dtype=torch.float64)
    penalty.add_gradient_(grad, params, where, strength=_column(1, 2, 3, 4))
    assert (grad[:, ::2] == 0).all()
    assert (grad[:, 1::2] == _column(1, 2, 3, 4)).all()


def test_clipping_equals_torch(generator: torch.Generator) -> None:
    scale = _column(0.01, 1.0, 10.0, 100.0)
    grad = torch.randn(V, P, dtype=torch.float64, generator=generator) * scale
    largest = _column(1.0, math.inf, 2.0, 0.5)
    expected = []
    for v in range(V):
        parameter = nn.Parameter(torch.zeros(P, dtype=torch.float64))
        parameter.grad = grad[v].clone()
        nn.utils.clip_grad_norm_([parameter], float(largest[v]))
        expected.append(parameter.grad)
    ClipNorm.apply_([grad[:, :10], grad[:, 10:]], max_norm=largest)
    torch.testing.assert_close(grad, torch.stack(expected))


def test_clipping_by_value_equals_torch(generator: torch.Generator) -> None:
    grad = torch.randn(V, P, dtype=torch.float64, generator=generator)
    limits = _column(0.1, 1.0, 100.0, math.inf)
    pieces = [piece.clone() for piece in grad.split([10, 20, 7], dim=1)]
    ClipValue.apply_(pieces, max_value=limits)
    for v in range(V):
        p = torch.zeros(P, dtype=torch.float64, requires_grad=True)
        p.grad = grad[v].clone()
        nn.utils.clip_grad_value_([p], float(limits[v]))
        assert torch.equal(torch.cat(pieces, dim=1)[v], p.grad)


def test_centralized_gradients_have_rows_of_mean_zero(generator: torch.Generator) -> None:
    """NumPy's mean over the axes of the inputs; vectors, which have none, are left alone."""
    shapes = [(6, 4), (5, 3, 2, 2), (7,)]
    grads = [torch.randn(V, *s, dtype=torch.float64, generator=generator) for s in shapes]
    changed = [grad.clone() for grad in grads]
    Centralize.apply_(changed)
    for grad, found in zip(grads[:2], changed, strict=False):
        g = grad.numpy()
        mean = g.reshape(V, g.shape[1], -1).mean(axis=2).reshape(V, -1, *[1] * (g.ndim - 2))
        np.testing.assert_allclose(found.numpy(), g - mean, rtol=1e-12, atol=1e-14)
    assert torch.equal(changed[2], grads[2])


# -- optimizers ------------------------------------------------------------------------------------


def _follow(
    method: type[BaseOptimizer],
    settings: dict[str, torch.Tensor],
    oracles: list[torch.optim.Optimizer],
    params: list[nn.Parameter],
) -> None:
    """Run our step beside ``torch.optim`` for 30 steps of changing gradients and rates."""
    generator = torch.Generator().manual_seed(1)
    ours = {"": torch.stack([p.detach().clone() for p in params])}
    state = method.init(ours)
    for t in range(30):
        grad = torch.randn(V, P, dtype=torch.float64, generator=generator)
        lr = _column(0.1, 0.01, 0.003, 0.2) * (1 - t / 40)
        for v, (oracle, parameter) in enumerate(zip(oracles, params, strict=True)):
            parameter.grad = grad[v].clone()
            oracle.param_groups[0]["lr"] = float(lr[v])
            oracle.step()
        number = torch.tensor(t + 1.0, dtype=torch.float64)
        method.step_(ours, {"": grad.clone()}, state, {"lr": lr, **settings}, number=number)
    expected = torch.stack([p.detach() for p in params])
    torch.testing.assert_close(ours[""], expected, rtol=1e-12, atol=1e-12)


def test_sgd_equals_torch(generator: torch.Generator) -> None:
    momentum, nesterov = (0.9, 0.0, 0.5, 0.99), (True, False, True, False)
    decay = (0.0, 0.1, 0.01, 0.0)
    params = _parameters(generator)
    oracles: list[torch.optim.Optimizer] = [
        torch.optim.SGD([p], lr=0.1, momentum=m, nesterov=n, weight_decay=d)
        for p, m, n, d in zip(params, momentum, nesterov, decay, strict=True)
    ]
    settings = {
        "momentum": _column(*momentum),
        "nesterov": _column(*map(float, nesterov)),
        "weight_decay": _column(*decay),
    }
    _follow(SGD, settings, oracles, params)


def test_adamw_equals_torch(generator: torch.Generator) -> None:
    beta1, beta2 = (0.9, 0.8, 0.0, 0.95), (0.999, 0.9, 0.99, 0.95)
    eps, decay = (1e-8, 1e-6, 1e-3, 1e-8), (0.0, 0.1, 0.01, 0.3)
    params = _parameters(generator)
    oracles: list[torch.optim.Optimizer] = [
        torch.optim.AdamW([p], lr=0.1, betas=(b1, b2), eps=e, weight_decay=d)
        for p, b1, b2, e, d in zip(params, beta1, beta2, eps, decay, strict=True)
    ]
    settings = {
        "beta1": _column(*beta1),
        "beta2": _column(*beta2),
        "eps": _column(*eps),
        "weight_decay": _column(*decay),
    }
    _follow(AdamW, settings, oracles, params)


def _parameters(generator: torch.Generator) -> list[nn.Parameter]:
    rows = [torch.randn(P, dtype=torch.float64, generator=generator) for _ in range(V)]
    return [nn.Parameter(row) for row in rows]


def _by_hand(
    method: type[BaseOptimizer],
    settings: dict[str, float],
    step: Callable[[np.ndarray, np.ndarray, dict[str, np.ndarray], float, int], np.ndarray],
) -> None:
    """Follow a step written in NumPy for single members, on a matrix and a vector at once."""
    rng = np.random.default_rng(0)
    shapes = {"matrix": (5, 3), "vector": (4,)}
    mine = {n: rng.normal(size=(V, *shape)) for n, shape in shapes.items()}
    params = {n: torch.from_numpy(value.copy()) for n, value in mine.items()}
    states = method.init(params)
    memory: dict[tuple[str, int], dict[str, np.ndarray]] = {}
    columns = {n: _column(*[value] * V) for n, value in settings.items()}
    for number in range(1, 6):
        lr = 0.1 / number
        grads = {n: rng.normal(size=value.shape) for n, value in mine.items()}
        for name, value in mine.items():
            for v in range(V):
                own = memory.setdefault((name, v), {})
                value[v] = step(value[v], grads[name][v], own, lr, number)
        method.step_(
            params,
            {n: torch.from_numpy(g.copy()) for n, g in grads.items()},
            states,
            {"lr": _column(*[lr] * V), **columns},
            number=torch.tensor(float(number), dtype=torch.float64),
        )
    for name, value in mine.items():
        np.testing.assert_allclose(params[name].numpy(), value, rtol=1e-10, atol=1e-12)


def test_lion_is_its_algorithm() -> None:
    def step(
        p: np.ndarray, g: np.ndarray, memory: dict[str, np.ndarray], lr: float, number: int
    ) -> np.ndarray:
        m = memory.get("m", np.zeros_like(p))
        update = np.sign(0.9 * m + 0.1 * g)
        memory["m"] = 0.99 * m + 0.01 * g
        return p - lr * (update + 0.2 * p)

    _by_hand(Lion, {"beta1": 0.9, "beta2": 0.99, "weight_decay": 0.2}, step)


def test_lamb_is_its_algorithm_layer_by_layer() -> None:
    def step(
        p: np.ndarray, g: np.ndarray, memory: dict[str, np.ndarray], lr: float, number: int
    ) -> np.ndarray:
        m = memory["m"] = 0.9 * memory.get("m", np.zeros_like(p)) + 0.1 * g
        v = memory["v"] = 0.99 * memory.get("v", np.zeros_like(p)) + 0.01 * g**2
        r = m / (1 - 0.9**number) / (np.sqrt(v / (1 - 0.99**number)) + 1e-6) + 0.3 * p
        return p - lr * np.linalg.norm(p) / np.linalg.norm(r) * r

    settings = {"beta1": 0.9, "beta2": 0.99, "eps": 1e-6, "weight_decay": 0.3}
    _by_hand(LAMB, settings, step)


def test_lamb_leaves_a_layer_of_zeros_its_plain_step() -> None:
    params = {"w": torch.zeros(1, 3, dtype=torch.float64)}
    states = LAMB.init(params)
    settings = {"lr": _column(0.1), "beta1": _column(0.9), "beta2": _column(0.9)}
    settings |= {"eps": _column(0.0), "weight_decay": _column(0.0)}
    grads = {"w": torch.ones(1, 3, dtype=torch.float64)}
    LAMB.step_(params, grads, states, settings, number=torch.tensor(1.0, dtype=torch.float64))
    torch.testing.assert_close(params["w"], torch.full((1, 3), -0.1, dtype=torch.float64))


# -- schedules -------------------------------------------------------------------------------------


def _course(make: Callable[[torch.optim.Optimizer], object], steps: int) -> np.ndarray:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.2)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()  # type: ignore[attr-defined]
    return np.array(rates) / 0.2


@pytest.mark.parametrize("steps", [1, 2, 7, 100])
def test_schedules_equal_torch(steps: int) -> None:
    schedulers = torch.optim.lr_scheduler
    plain = _course(lambda o: schedulers.CosineAnnealingLR(o, T_max=steps), steps)
    np.testing.assert_allclose(Cosine().factors(steps), plain, atol=1e-12)
    floor = _course(lambda o: schedulers.CosineAnnealingLR(o, T_max=steps, eta_min=0.02), steps)
    np.testing.assert_allclose(Cosine(final=0.1).factors(steps), floor, atol=1e-12)
    assert (Constant().factors(steps) == 1).all()
    size = max(1, round(steps * 0.25))
    stairs = _course(lambda o: schedulers.StepLR(o, step_size=size, gamma=0.5), steps)
    np.testing.assert_allclose(Step(every=0.25, gamma=0.5).factors(steps), stairs, atol=1e-12)
    if steps > 2:
        # torch plans one step more than it is asked for here, so that its last call of step() is
        # allowed
        total = steps + 1
        share = 0.4 * steps / total
        cycle = _course(
            lambda o: schedulers.OneCycleLR(
                o, max_lr=0.2, total_steps=total, pct_start=share, cycle_momentum=False
            ),
            steps,
        )
        mine = OneCycle(warmup=share).factors(total)[:steps]
        np.testing.assert_allclose(mine, cycle, atol=1e-12)


def test_warmup_rises_linearly_to_the_cosine() -> None:
    found = Cosine(warmup=0.1).factors(100)
    np.testing.assert_allclose(found[:11], np.arange(1, 12) / 11)
    assert (np.diff(found[10:]) < 0).all()
    assert OneCycle().factors(100).max() == pytest.approx(1.0, abs=2e-3)
