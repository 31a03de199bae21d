"""Compressors that are no part of winnow, and several at once: by import path, as objects, broken
ones, and which one ships.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from scipy import stats
from sklearn import datasets
from tests.compression.conftest import QUICK, Model
from tests.compression.test_compress import candidate, session

from winnow import bundle
from winnow.compression import Latency, compress, compressors_of
from winnow.compression._choice import choose, confidence_for, judged
from winnow.compression._score_loss import Judge
from winnow.errors import RecipeError
from winnow.methods import BaseCompressor, Compressed, Float16, Int8, LowRank
from winnow.pipeline import check
from winnow.recipe import Compress, Compressor, Recipe
from winnow.stats import Interval

PATH = f"{__name__}:Halves"


class Halves(BaseCompressor):
    """16-bit weights, but for one fault."""

    phrase = "halves of weights"
    fault: str = ""

    def compress(self, model: Any) -> Any:
        if self.fault == "raises":
            raise RuntimeError("out of ideas\nand more")
        made = Float16().compress(model)
        assert isinstance(made, Compressed)
        found = onnx.load_model_from_string(made.onnx)
        if self.fault == "shape":
            found.graph.node[-1].output[0] = "before"
            found.graph.node.append(helper.make_node("Concat", ["before"] * 2, ["y"], axis=1))
            found.graph.output[0].type.tensor_type.shape.Clear()
        if self.fault == "elsewhere":
            onnx.external_data_helper.set_external_data(found.graph.initializer[0], "weights.bin")
        if self.fault == "infinite":
            infinite = np.array(np.inf, dtype=np.float32)
            found.graph.initializer.append(onnx.numpy_helper.from_array(infinite, "infinite"))
            found.graph.node[-1].output[0] = "before"
            found.graph.node.append(helper.make_node("Mul", ["before", "infinite"], ["y"]))
        if self.fault == "none":
            return None
        return dataclasses.replace(made, onnx=found.SerializeToString(), notes=("half as large",))


def recipe(methods: Any, **more: Any) -> Recipe:
    return Recipe(
        data={"source": "sklearn:digits", "shape": [1, 8, 8]},
        model={"use": "convnet"},
        compress=Compress(methods=methods, **more),
    )


@pytest.mark.parametrize(
    "given",
    [PATH, {"use": PATH}, Halves, Halves(), Compressor(Halves)],
    ids=["path", "mapping", "class", "object", "record"],
)
def test_every_way_of_giving_a_compressor_is_the_same(given: Any) -> None:
    asked = recipe(["int8", given])

    assert compressors_of(asked) == [Int8(), Halves()]
    assert Recipe.from_yaml(asked.to_yaml()) == asked


def test_one_from_yaml_is_judged_and_ships_like_our_own(convnet: Model, tmp_path: Path) -> None:
    """The bundle then holds what ONNX Runtime runs, and needs no class."""
    text = (
        "data: {source: 'sklearn:digits', shape: [1, 8, 8]}\nmodel: {use: convnet}\n"
        f"compress: {{prefer: size, budget: 0.02, log_loss_budget: 0.1, methods: [{PATH}]}}\n"
    )
    documents: dict[str, Any] = {}
    trained = SimpleNamespace(
        recipe=Recipe.from_yaml(text),
        prepared=convnet.prepared,
        metric="accuracy",
        workspace=SimpleNamespace(ledger=SimpleNamespace(put_document=documents.__setitem__)),
        module=lambda: convnet.module,
    )

    found = compress(trained, timing=QUICK)

    assert [one.name for one in found.candidates] == ["eager", "onnx", "Halves"]
    halves = found["Halves"]
    assert [loss.verdict for loss in halves.losses] == ["within", "within"]
    assert found.chosen == "Halves"
    assert "Halves: half as large" in found.notes
    document = json.loads(json.dumps(documents["compression"], allow_nan=False))
    assert document["candidates"][-1]["words"] == "halves of weights"
    loaded = bundle.load(found.save(tmp_path / "b"))
    assert loaded.manifest.deployed == "Halves"
    rows = datasets.load_digits().data[convnet.prepared.test.index]
    expected = session(halves.onnx).run(None, {"x": convnet.prepared.test.X})[0]
    np.testing.assert_allclose(loaded.logits(rows), expected, atol=1e-3)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("raises", "Halves.compress raises RuntimeError: out of ideas"),
        ("none", "Halves.compress must give a Compressed or a NotCompressed, and gives a NoneType"),
        ("shape", "its outputs are of shape (359, 20), and must be of shape (359, 10)"),
        ("infinite", "its outputs are not finite"),
        ("elsewhere", "its file cannot be used: model.onnx keeps the tensor '"),
    ],
)
def test_a_broken_one_is_told_and_the_others_go_on(
    convnet: Model, fault: str, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    found = convnet.compressed(
        "accuracy", budget=1.0, log_loss_budget=9.0, methods=[Halves(fault=fault), Float16()]
    )

    name = f"Halves(fault={fault})"
    assert found.notes[0].startswith(f"no {name}: {words}")
    assert [(one.name, one.code) for one in found.declined] == [(name, "failed")]
    assert found["float16"].losses[0].verdict == "within"
    assert capfd.readouterr().out == ""


def test_mistakes_in_methods_are_told_before_anything_trains() -> None:
    elsewhere = f"{__name__}:recipe"
    with pytest.raises(RecipeError) as caught:
        check(recipe(["int8", {"use": elsewhere}]))
    assert "compress.methods[1].use: expected a subclass of winnow.methods.BaseCompressor" in str(
        caught.value
    )
    with pytest.raises(RecipeError, match=r"methods\[0\].args.fault: "):
        check(recipe([{"use": PATH, "args": {"fault": 3}}]))
    with pytest.raises(RecipeError, match=r"compress\.methods: 'int8 dynamic' is tried twice"):
        check(recipe(["int8", {"kind": "int8", "how": "dynamic"}]))


def test_the_old_key_is_refused_with_the_new_one() -> None:
    for value, now in ((True, "methods: [int8]"), (False, "methods: []")):
        with pytest.raises(RecipeError) as caught:
            Recipe.from_yaml(
                "data: {source: 'sklearn:iris'}\nmodel: {use: mlp}\n"
                f"compress: {{int8: {str(value).lower()}}}\n"
            )
        (problem,) = caught.value.problems
        assert (problem.setting, problem.line) == ("compress.int8", 3)
        assert now in problem.message


# -- several at once -------------------------------------------------------------------------------


def test_all_that_are_asked_for_are_measured_together(mlp: Model) -> None:
    methods = [Int8(how="dynamic"), Float16(), LowRank(error=0.2)]

    found = mlp.compressed("rmse", budget=0.5, prefer="size", methods=methods)

    names = [one.name for one in found.candidates]
    assert names == ["eager", "onnx", "int8 dynamic", "float16", "low_rank(error=0.2)"]
    assert len({one.latency[1].turns_ms.shape for one in found.candidates}) == 1
    compressed = found.candidates[2:]
    # Three candidates: 5 % between them, so 1.67 % above each upper end
    assert {one.score_drop.confidence for one in compressed if one.score_drop} == {1 - 0.1 / 3}
    assert {one.versus_onnx[1].confidence for one in compressed} == {1 - 0.1 / 3}
    assert found["onnx"].versus_eager[1].confidence == 0.95


def test_the_levels_of_all_candidates_add_up_to_5_percent() -> None:
    assert confidence_for(1) == confidence_for(2) == 0.95
    for n in range(2, 40):
        assert n * (1 - confidence_for(n)) / 2 == pytest.approx(0.05)


@pytest.mark.parametrize(("candidates", "corrected"), [(2, True), (12, True), (12, False)])
def test_a_loss_at_its_budget_ships_in_at_most_5_percent_however_many_are_tried(
    candidates: int, corrected: bool
) -> None:
    """Candidates that lose just what is allowed, in rows that change at random; without the
    correction, many of them are one too many.
    """
    n, lose, cases = 2000, 0.02, 300
    rng, y = np.random.default_rng(candidates), np.zeros(n, dtype=np.int64)
    confidence = confidence_for(candidates if corrected else 1)
    judge = Judge("accuracy", "classification", y, lambda raw: raw, confidence)
    right, wrong = np.array([0.9, 0.1]), np.array([0.1, 0.9])
    reference = np.tile(right, (n, 1))
    highs = {  # of what is lost by how many rows changed, which is all that counts here
        k: judge.drop(reference, np.where(np.arange(n)[:, None] < k, wrong, right)).high
        for k in range(100)
    }

    lost = rng.binomial(n, lose, size=(cases, candidates))
    ships = sum(any(highs[min(k, 99)] <= lose for k in case) for case in lost)

    p_value = stats.binomtest(ships, cases, 0.05, alternative="greater").pvalue
    assert bool(p_value > 0.01) is corrected, f"{ships} of {cases}"


def timed(name: str, ms: float, *, size: int, spread: float = 0.01) -> Any:
    """An accepted candidate, where float32 takes 4 ms."""
    turns = ms * np.linspace(1 - spread, 1 + spread, 9)
    latency = {rows: Latency(ms, ms, 9, turns) for rows in (1, 64)}
    ratio = Interval(4 / ms, 3.9 / ms, 4.1 / ms, 0.95, 9)
    made = candidate(name, size=size, ratios=(ratio, ratio))
    return dataclasses.replace(made, latency=latency, accepted=True)


def test_for_speed_the_fastest_ships_and_of_equals_the_smallest() -> None:
    float32 = candidate("onnx", size=1000)
    slow, quick = timed("slow", 2.0, size=10), timed("quick", 1.0, size=500)
    equal = timed("equal", 1.005, size=300, spread=0.1)

    assert choose([float32, slow, quick], prefer="speed").name == "quick"
    assert choose([float32, slow, quick, equal], prefer="speed").name == "equal"
    assert choose([float32, slow, quick, equal], prefer="size").name == "slow"
    rejected = [dataclasses.replace(one, accepted=False) for one in (slow, quick)]
    assert choose([float32, *rejected], prefer="speed").name == "onnx"


def test_one_that_cannot_is_no_candidate(lstm: Model) -> None:
    found = Model(lstm.module, lstm.prepared).compressed(
        "log_loss", budget=0.05, methods=[LowRank(error=0.01)]
    )

    assert [one.name for one in found.candidates] == ["eager", "onnx"]
    assert found.chosen == "onnx"
    (reason,) = found.declined
    assert (reason.name, reason.code) == ("low_rank(error=0.01)", "nothing_to_change")
    assert found.notes == (f"no low_rank(error=0.01): {reason.text}",)


def test_size_is_still_what_size_asks_for() -> None:
    """A candidate under another name is judged by the same rule as int8."""
    float32 = candidate("onnx", size=1_000_000)

    found = judged(candidate("mine", size=900_001), float32=float32, prefer="size")

    assert (found.accepted, found.gain) == (False, "too little smaller")
