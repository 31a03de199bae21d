"""Random recipes for Hypothesis: every section, ranges wherever they may stand."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from winnow.methods import SGD, AdamW, Constant, Cosine, LowRank, OneCycle
from winnow.recipe import (
    Ablate,
    Choice,
    Compress,
    Data,
    EarlyStopping,
    Final,
    Integer,
    Log,
    Model,
    Prepare,
    Recipe,
    Sampler,
    Search,
    Split,
    Train,
    Uniform,
)

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
odd_words = st.sampled_from(
    [
        "yes",
        "no",
        "null",
        "~",
        "1e-4",
        "1.0",
        "0x1f",
        "010",
        "2026-01-01",
        "12:30",
        "- a",
        "a: b",
        "#x",
        "",
        " ",
        "{a}",
        "true",
        ".inf",
    ]
)
texts = words | odd_words


def floats(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_subnormal=False)


def open_floats(low: float, high: float) -> st.SearchStrategy[Any]:
    """A number from ``low`` to ``high``, or a range within."""
    pairs = (
        st.tuples(floats(low, high), floats(low, high)).filter(lambda p: p[0] != p[1]).map(sorted)
    )
    ranges = [
        pairs.map(lambda p: Uniform(*p)),
        st.lists(floats(low, high), min_size=1, max_size=3, unique=True).map(Choice),
    ]
    if low > 0:
        ranges.append(pairs.map(lambda p: Log(*p)))
    return st.one_of(floats(low, high), *ranges)


def open_integers(low: int, high: int) -> st.SearchStrategy[Any]:
    """A whole number from ``low`` to ``high``, or a range within."""
    numbers = st.integers(low, high)
    pairs = st.tuples(numbers, numbers).filter(lambda p: p[0] != p[1]).map(sorted)
    return st.one_of(
        numbers,
        pairs.map(lambda p: Integer(*p)),
        st.lists(numbers, min_size=1, max_size=3, unique=True).map(Choice),
    )


def open_names(*names: Any) -> st.SearchStrategy[Any]:
    """One of ``names``, or a choice of some."""
    return st.sampled_from(names) | st.lists(st.sampled_from(names), min_size=1, unique=True).map(
        Choice
    )


def open_records(*records: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """One of ``records``, or a choice of different ones, which may be of one kind."""
    one = st.one_of(*records)
    return one | st.lists(one, min_size=1, max_size=3).map(
        lambda found: Choice([r for i, r in enumerate(found) if r not in found[:i]])
    )


sgd = st.builds(
    SGD,
    lr=open_floats(1e-8, 10),
    momentum=open_floats(0.01, 0.99),
    nesterov=open_names(True, False),
    weight_decay=open_floats(0, 1),
)
adamw = st.builds(
    AdamW,
    lr=open_floats(1e-8, 1),
    beta1=open_floats(0, 0.99),
    weight_decay=open_floats(0, 1),
    eps=floats(1e-12, 1e-3),
)
cosine = st.builds(Cosine, warmup=open_floats(0, 0.99), final=open_floats(0, 1))
one_cycle = st.builds(
    OneCycle, warmup=open_floats(0.01, 0.99), start=open_floats(0.001, 1), final=open_floats(0, 1)
)

train = st.builds(
    Train,
    epochs=st.integers(1, 1000),
    batch_size=open_integers(1, 512),
    drop_last=st.booleans(),
    optimizer=open_records(sgd, adamw),
    schedule=open_records(cosine, one_cycle, st.just(Constant())),
    loss=st.sampled_from(["auto", "cross_entropy", "mse"]),
    dropout=st.none() | open_floats(0, 0.99),
    label_smoothing=open_floats(0, 0.99),
    l1=open_floats(0, 1),
    l2=open_floats(0, 1),
    clip_norm=st.none() | open_floats(1e-6, 100),
    early_stopping=st.none()
    | st.builds(EarlyStopping, patience=open_integers(1, 50), min_delta=open_floats(0, 0.1)),
    precision=st.sampled_from(["float32", "float64", "bfloat16"]),
)

plain = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | floats(-1e300, 1e300) | texts
# "x-" keeps these names from being taken for a range or for a misspelt one
names = words.map(lambda word: f"x-{word}")
arguments = st.recursive(
    plain
    | open_floats(-5, 5)
    | open_integers(-5, 5)
    | st.lists(plain, min_size=1, max_size=3, unique_by=repr).map(Choice),
    lambda inner: st.lists(plain, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
model = st.one_of(
    st.builds(
        Model,
        st.just("mlp"),
        width=open_integers(1, 512),
        depth=open_integers(1, 5),
        activation=open_names("relu", "gelu", "tanh", "silu"),
        norm=open_names("none", "batch", "layer"),
        residual=open_names(True, False),
    ),
    st.builds(
        Model,
        st.just("convnet"),
        channels=open_integers(1, 64),
        without=st.lists(texts, max_size=2),
    ),
    st.builds(Model, st.just("my.nets:Net"), args=st.dictionaries(names, arguments, max_size=4)),
)
data = st.builds(
    Data,
    source=st.sampled_from(
        ["sklearn:digits", "some/file.csv", "my.data:load", "object:arrays-0123"]
    ),
    target=texts,
    drop=st.lists(words.map(lambda word: f"-{word}"), max_size=3),
    shape=st.none() | st.lists(st.integers(1, 64), min_size=1, max_size=3),
    split=st.builds(
        Split,
        test=floats(0.05, 0.4),
        validation=floats(0.05, 0.4),
        stratify=st.booleans(),
        seed=st.integers(0, 99),
    ),
    prepare=st.builds(
        Prepare,
        standardize=st.booleans(),
        impute=st.sampled_from(["median", "mean"]),
        missing_indicator=st.booleans(),
        scale=st.sampled_from([None, "standardize", "rank_gauss", "my.module:Own"]),
    ),
)
recipes = st.builds(
    Recipe,
    name=texts,
    data=data,
    model=model,
    train=train,
    metric=st.sampled_from(["auto", "accuracy", "log_loss", "r2"]),
    seed=st.integers(0, 2**40),
    search=st.builds(
        Search,
        sampler=st.sampled_from(["tpe", "random", "sobol", "my.module:Own"])
        | st.builds(Sampler, st.just("my.module:Own"), args=st.just({"k": 3})),
        trials=st.integers(1, 500),
    ),
    ablate=st.builds(
        Ablate,
        parts=st.sampled_from(["all", (), ("dropout",), ("model.fc1", "l2")]),
        smallest_effect=floats(0, 0.1),
    ),
    final=st.builds(Final, seeds=st.integers(2, 20)),
    compress=st.builds(
        Compress,
        methods=st.sampled_from([(), ("int8",), ("low_rank", "int8"), ("my.module:Own",)])
        | st.tuples(st.builds(LowRank, error=floats(0.01, 0.5))),
        budget=floats(0, 0.1),
        log_loss_budget=floats(0, 0.1),
        prefer=st.sampled_from(["speed", "size"]),
    ),
)
