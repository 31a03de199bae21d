"""Compression as a whole: what is chosen, what is said, what is saved."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from sklearn import datasets, metrics
from tests.compression.conftest import QUICK, Model
from torch import nn

from winnow import bundle
from winnow.compression import (
    CompressionResult,
    DeclinedRecord,
    Latency,
    _notes,
    compress,
)
from winnow.compression._choice import choose, judged
from winnow.compression._compressed import Candidate, CompressionLoss
from winnow.errors import ModelError
from winnow.methods import BaseCompressor, Compressed, ExportedModel, Int8, NotCompressed
from winnow.methods.compressors import _int8
from winnow.recipe import Recipe
from winnow.stats import Interval


def session(content: bytes | None) -> onnxruntime.InferenceSession:
    assert content is not None
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


def spoiled(content: bytes) -> bytes:
    """The model with its int8 weights rolled over: it runs, and is wrong."""
    model = onnx.load_model_from_string(content)
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) > 1:
            values = onnx.numpy_helper.to_array(tensor)
            tensor.CopyFrom(
                onnx.numpy_helper.from_array(
                    np.ascontiguousarray(np.roll(values, 1, axis=0)), tensor.name
                )
            )
    return model.SerializeToString()


TRIED: list[str] = []


class Spoiled(Int8):
    """int8 whose models are wrong where they were made in one of these ways."""

    ways: tuple[str, ...] = ()

    def in_turn(self) -> tuple[BaseCompressor, ...]:
        return tuple(Spoiled(how=how, ways=self.ways) for how in ("static", "dynamic"))  # type: ignore[arg-type]

    def compress(self, model: ExportedModel) -> Compressed | NotCompressed:
        TRIED.append(self.how)
        found = super().compress(model)
        assert isinstance(found, Compressed)
        is_wrong = self.how in self.ways
        return dataclasses.replace(found, onnx=spoiled(found.onnx)) if is_wrong else found


@pytest.fixture(autouse=True)
def nothing_tried() -> None:
    TRIED.clear()


# -- what is chosen --------------------------------------------------------------------------------


def test_the_smallest_that_keeps_the_budget_is_chosen(
    compressed: CompressionResult, convnet: Model
) -> None:
    assert [c.name for c in compressed.candidates] == ["eager", "onnx", "int8"]
    assert compressed.chosen == "int8"
    int8, fp32 = compressed["int8"], compressed["onnx"]
    assert (int8.kind, fp32.kind) == ("int8", "fp32")
    assert int8.bytes == len(int8.onnx or b"") < fp32.bytes / 2
    assert int8.score_drop is not None
    assert int8.score_drop.high <= 0.05
    assert [loss.metric for loss in int8.losses] == ["accuracy", "log_loss"]
    assert int8.losses[0].drop == int8.score_drop
    assert int8.losses[1].drop.high <= 0.1

    rows, y = convnet.prepared.validation.X, convnet.prepared.validation.y
    with torch.inference_mode():
        eager = convnet.module(torch.from_numpy(rows.copy())).argmax(1).numpy()
    quantized = session(int8.onnx).run(None, {"x": rows})[0].argmax(1)
    assert compressed["eager"].score == compressed["onnx"].score == metrics.accuracy_score(y, eager)
    assert int8.score == metrics.accuracy_score(y, quantized)
    assert int8.score_drop.mean == pytest.approx(np.mean(eager == y) - np.mean(quantized == y))
    assert compressed.rows == int8.score_drop.n == len(y)


def test_latency_is_measured_for_all_at_both_batch_sizes(compressed: CompressionResult) -> None:
    for candidate in compressed.candidates:
        assert candidate.latency.keys() == {1, 64}
        for size, latency in candidate.latency.items():
            assert 0 < latency.median_ms <= latency.p95_ms
            assert latency.samples >= QUICK.min_rounds
            if candidate.name != "int8":
                assert getattr(candidate, f"versus_{candidate.name}")[size].mean == pytest.approx(1)
    # Turns that belong together
    assert len({c.latency[1].turns_ms.shape for c in compressed.candidates}) == 1


def test_a_budget_that_is_broken_rules_int8_out(
    convnet: Model,
) -> None:
    wrong = Spoiled(ways=("static", "dynamic"))

    found = convnet.compressed("accuracy", budget=0.01, prefer="size", methods=[wrong])

    assert TRIED == ["static", "dynamic"]
    assert found.chosen == "onnx"
    assert not found["int8"].accepted
    said = "\n".join(found.notes)
    assert "int8 does not ship: loss of accuracy 0." in said
    assert "int8 dynamic does not ship: " in said
    assert said.endswith("so the float32 model ships")
    assert "on 359 validation rows, over the budget of 0.01; " in found["int8"].reason


def test_what_the_rows_cannot_tell_does_not_ship(convnet: Model) -> None:
    found = convnet.compressed("accuracy", budget=0.002, prefer="size")

    loss = found["int8"].losses[0]
    assert loss.verdict == "undecided"
    assert loss.drop.low <= 0.002 < loss.drop.high
    assert found.chosen == "onnx"
    assert "which may be over the budget of 0.002: " in found["int8"].reason
    if loss.drop.mean < 0.002:
        assert loss.rows_needed is not None
        assert (
            "about 2," in found["int8"].reason
            or "rows would decide, if the loss stays what it is" in found["int8"].reason
        )


def test_the_log_loss_has_a_budget_of_its_own(convnet: Model) -> None:
    """Accuracy is kept, but probabilities are served as well."""
    found = convnet.compressed("accuracy", budget=1.0, log_loss_budget=0.0, prefer="size")

    first, second = found["int8"].losses
    assert (first.verdict, second.metric, second.allowed) == ("within", "log_loss", 0.0)
    assert second.verdict != "within"
    assert found.chosen == "onnx"
    by_log_loss = convnet.compressed("log_loss", budget=1.0, log_loss_budget=0.0, prefer="size")
    assert [loss.metric for loss in by_log_loss["int8"].losses] == ["log_loss"]
    assert by_log_loss.chosen == "int8"


def test_dynamic_int8_is_tried_where_static_loses_too_much(
    convnet: Model,
) -> None:
    found = convnet.compressed(
        "balanced_accuracy",
        budget=0.2,
        log_loss_budget=0.3,
        prefer="size",
        methods=[Spoiled(ways=("static",))],
    )

    assert found.chosen == "int8 dynamic"
    assert found["int8 dynamic"].kind == "int8"
    assert [c.accepted for c in found.candidates] == [True, True, False, True]


def test_dynamic_int8_is_tried_where_static_reaches_little(lstm: Model) -> None:
    found = lstm.compressed("log_loss", budget=0.05)

    assert [c.name for c in found.candidates] == ["eager", "onnx", "int8", "int8 dynamic"]
    assert any(
        note.startswith("int8: 3% of the weights are integers; floats remain in LSTM")
        for note in found.notes
    )


def test_a_model_too_small_for_int8_stays_in_floats(lstm: Model) -> None:
    found = Model(nn.Linear(4, 3), lstm.prepared).compressed(
        "accuracy", budget=1.0, log_loss_budget=9.0, prefer="size"
    )

    assert found.chosen == "onnx"
    assert any(
        "not smaller (" in note and "what was added outweighs" in note for note in found.notes
    )
    assert all(loss.verdict == "within" for loss in found["int8"].losses)
    assert not found["int8"].accepted


def test_nothing_need_be_tried(mlp: Model) -> None:
    found = mlp.compressed("rmse", budget=0.0, methods=[])

    assert [c.name for c in found.candidates] == ["eager", "onnx"]
    assert found.notes == ("nothing was tried: compress.methods of the recipe is empty",)


def test_a_quantizer_that_cannot_is_said(mlp: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(*_: Any) -> bytes:
        raise RuntimeError("Unsupported")

    monkeypatch.setattr(_int8, "_quantize", cannot)

    found = mlp.compressed("mae", budget=0.01)

    assert found.chosen == "onnx"
    said = "ONNX Runtime's static quantizer cannot handle this model: Unsupported"
    assert found.notes[0] == f"no int8: {said}"
    assert found.notes[1].startswith("no int8 dynamic: ONNX Runtime's dynamic quantizer")
    assert found.declined[0] == DeclinedRecord("int8", "failed", said)


def test_errors_are_scored_in_the_targets_unit_and_the_budget_is_a_share_of_them(
    mlp: Model,
) -> None:
    found = mlp.compressed("rmse", budget=0.05)

    decode, rows = mlp.prepared.preparation.decode, mlp.prepared.validation
    with torch.inference_mode():
        outputs = mlp.module(torch.from_numpy(rows.X.copy()))
    expected = metrics.root_mean_squared_error(decode(rows.y), decode(outputs))
    assert found["eager"].score == pytest.approx(expected, rel=1e-6)
    assert 20 < expected < 200  # disease progression, not deviations
    assert found.allowed == pytest.approx(0.05 * expected)
    assert not found.higher_is_better
    drop = found["int8"].score_drop
    assert drop is not None
    assert drop.mean == pytest.approx(found["int8"].score - found["eager"].score)


# -- what it may look at ---------------------------------------------------------------------------


class Spy(BaseCompressor):
    """It looks at the rows that it gets, and trains on one step."""

    def compress(self, model: ExportedModel) -> NotCompressed:
        SEEN.append(model.rows)
        module = model.module()
        with torch.enable_grad():
            module(torch.from_numpy(next(model.calibration()))).square().mean().backward()
        for parameter in module.parameters():
            parameter.data.zero_()
        return NotCompressed("nothing_to_change", "it only looked")


SEEN: list[Any] = []


def test_test_rows_are_not_touched_and_training_rows_calibrate(mlp: Model) -> None:
    SEEN.clear()
    before = [parameter.clone() for parameter in mlp.module.parameters()]
    hidden = Model(mlp.module, dataclasses.replace(mlp.prepared, test=None))  # type: ignore[arg-type]

    found = hidden.compressed("r2", budget=1.0, methods=[Spy(), Int8()])

    assert SEEN[0] is mlp.prepared.train.X
    assert found.notes[0] == "no Spy: it only looked"
    assert all(map(torch.equal, mlp.module.parameters(), before))
    assert "int8" in [candidate.name for candidate in found.candidates]


def test_the_module_and_the_threads_are_left_as_they_were(mlp: Model) -> None:
    mlp.module.train()
    before = {k: v.clone() for k, v in mlp.module.state_dict().items()}
    torch.set_num_threads(2)
    try:
        mlp.compressed("mae", budget=0.1, methods=[])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)

    assert mlp.module.training
    assert all(torch.equal(v, before[k]) for k, v in mlp.module.state_dict().items())
    mlp.module.eval()


# -- what is said ----------------------------------------------------------------------------------


SAME, FASTER, SLOWER = (Interval(r, 0.96 * r, 1.04 * r, 0.95, 9) for r in (1.0, 2.0, 0.8))


def candidate(
    name: str,
    *,
    high: float = 0.005,
    size: int = 10,
    ratios: tuple[Interval, Interval] = (FASTER, FASTER),
) -> Candidate:
    latency = {1: Latency(1, 1, 4, np.ones(4)), 64: Latency(1, 1, 4, np.ones(4))}
    versus = dict(zip((1, 64), ratios, strict=True))
    losses = (CompressionLoss("accuracy", Interval(0.0, -0.005, high, 0.95, 400), 0.01, None),)
    compressor = None if name in ("eager", "onnx") else "int8"
    return Candidate(
        name,
        size,
        0.9,
        losses[0].drop,
        latency,
        versus,
        versus,
        False,
        "",
        b"",
        losses,
        compressor=compressor,
    )


@pytest.mark.parametrize(
    ("ratios", "accepted", "said"),
    [
        ((FASTER, FASTER), True, "; faster than float32 in ONNX Runtime"),
        ((SAME, FASTER), True, "; faster than float32 in ONNX Runtime"),
        (
            (SAME, SAME),
            False,
            "; not shown to be faster than float32 in ONNX Runtime (compress.prefer: size",
        ),
        ((SLOWER, FASTER), False, "; slower than float32 in ONNX Runtime (compress.prefer: size"),
    ],
)
def test_for_speed_it_must_be_shown_faster_somewhere_and_slower_nowhere(
    ratios: tuple[Interval, Interval], accepted: bool, said: str
) -> None:
    float32 = candidate("onnx", size=1_000_000)
    found = judged(candidate("int8", size=300_000, ratios=ratios), float32=float32, prefer="speed")

    assert (found.accepted, said in found.reason) == (accepted, True)
    assert choose([candidate("eager"), float32, found], prefer="speed").name == (
        "int8" if accepted else "onnx"
    )
    assert judged(
        candidate("int8", size=300_000, ratios=ratios), float32=float32, prefer="size"
    ).accepted


@pytest.mark.parametrize(
    ("float32", "int8", "accepted"),
    [
        (100_000, 30_000, True),
        (100_000, 80_000, True),
        (100_000, 80_001, False),
        (25_000, 6_000, False),
        (1_000_000, 900_000, True),
        (1_000_000, 900_001, False),
        (10_000, 12_000, False),
    ],
)
def test_for_size_it_must_save_a_tenth_and_20_kB(float32: int, int8: int, accepted: bool) -> None:
    slow = candidate("int8", size=int8, ratios=(SLOWER, SLOWER))

    assert judged(slow, float32=candidate("onnx", size=float32), prefer="size").accepted is accepted


@pytest.mark.parametrize("prefer", ["speed", "size"])
def test_the_upper_end_must_keep_the_budget(prefer: Any) -> None:
    """The mean, 0, is far within."""
    float32 = candidate("onnx", size=1_000_000)

    assert judged(candidate("int8", size=9, high=0.0099), float32=float32, prefer=prefer).accepted
    found = judged(candidate("int8", size=9, high=0.0101), float32=float32, prefer=prefer)
    assert not found.accepted
    assert (
        "on 400 validation rows, which may be over the budget of 0.01: the rows cannot decide"
        in found.reason
    )
    counted = dataclasses.replace(
        found, losses=(dataclasses.replace(found.losses[0], rows_needed=1234),)
    )
    assert (
        "about 1,300 rows would decide, if the loss stays what it is"
        in judged(counted, float32=float32, prefer=prefer).reason
    )


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (SLOWER, "at batch 1 it takes 1.25 times as long; at batch 64 it is 2.00 times as fast"),
        (SAME, "at batch 1 no difference was found; at batch 64 it is 2.00 times as fast"),
        (FASTER, None),
    ],
)
def test_it_says_where_int8_is_not_faster(ratio: Interval, expected: str | None) -> None:
    int8 = dataclasses.replace(candidate("int8", ratios=(ratio, FASTER)), accepted=True)

    said = _notes.notes([candidate("eager"), candidate("onnx"), int8], int8)

    prefix = "int8 is not faster everywhere than float32 in ONNX Runtime on this machine: "
    assert said == ([prefix + expected] if expected else [])


def test_the_document_is_json_and_has_what_the_report_reads(compressed: CompressionResult) -> None:
    document = json.loads(json.dumps(compressed.to_dict(), allow_nan=False))

    assert document.keys() >= {
        "metric",
        "budget",
        "higher_is_better",
        "candidates",
        "chosen",
        "notes",
    }
    assert (document["metric"], document["budget"], document["chosen"]) == (
        "accuracy",
        0.05,
        "int8",
    )
    by_name = {c["name"]: c for c in document["candidates"]}
    int8 = by_name["int8"]
    assert int8["latency"].keys() == {"1", "64"}
    assert int8["latency"]["1"].keys() >= {"median_ms", "p95_ms"}
    assert int8["score_drop"].keys() >= {"mean", "low", "high", "confidence", "n"}
    assert int8["versus_onnx"] == compressed["int8"].versus_onnx[1].mean
    assert int8["speedup"]["64"]["versus_eager"]["low"] == compressed["int8"].versus_eager[64].low
    assert by_name["eager"]["score_drop"] is None
    assert document["prefer"] == "size"
    assert [(loss["metric"], loss["verdict"], loss["allowed"]) for loss in int8["losses"]] == [
        ("accuracy", "within", 0.05),
        ("log_loss", "within", 0.1),
    ]


def test_the_table_has_a_row_for_each_candidate(compressed: CompressionResult) -> None:
    table = compressed.table()

    assert table["name"].to_list() == ["eager", "onnx", "int8"]
    assert table["chosen"].to_list() == [False, False, True]
    assert {
        "bytes",
        "score",
        "score_drop",
        "score_drop_low",
        "score_drop_high",
        "median_ms_1",
        "p95_ms_64",
    } <= set(table.columns)


# -- what is saved ---------------------------------------------------------------------------------


def test_a_bundle_holds_the_chosen_model(
    compressed: CompressionResult, convnet: Model, tmp_path: Path
) -> None:
    path = compressed.save(
        tmp_path / "digits.winnow", metrics={"accuracy": 0.97}, recipe_yaml="name: digits\n"
    )

    loaded = bundle.load(path)

    assert (loaded.manifest.deployed, loaded.manifest.metrics) == ("int8", {"accuracy": 0.97})
    assert loaded.manifest.compression["score_drop"]["n"] == 359
    assert loaded.manifest.model == {
        "use": "Sequential",
        "parameters": sum(p.numel() for p in convnet.module.parameters()),
    }
    parity = compressed["int8"].parity
    assert parity is not None
    assert loaded.manifest.parity == parity.to_dict()
    assert loaded.recipe_yaml() == "name: digits\n"
    rows = datasets.load_digits().data[convnet.prepared.test.index]
    expected = session(compressed["int8"].onnx).run(None, {"x": convnet.prepared.test.X})[0]
    # A feature may fall into the neighboring step
    np.testing.assert_allclose(loaded.logits(rows), expected, atol=0.2)
    assert np.mean(loaded.predict(rows) == expected.argmax(1)) > 0.99
    weights = loaded.weights()
    assert all(
        np.array_equal(weights[k], v.numpy()) for k, v in convnet.module.state_dict().items()
    )


def test_another_candidate_may_be_saved(compressed: CompressionResult, tmp_path: Path) -> None:
    assert (
        bundle.load(compressed.save(tmp_path / "a", candidate="onnx")).manifest.deployed == "fp32"
    )
    for name in ("eager", "int9"):
        with pytest.raises(ValueError, match=f"expected one of onnx, int8, got '{name}'"):
            compressed.save(tmp_path / "b", candidate=name)


def test_compress_takes_what_training_gave(mlp: Model, tmp_path: Path) -> None:
    documents: dict[str, Any] = {}
    recipe = Recipe.from_yaml(
        "data: {source: 'sklearn:diabetes'}\nmodel: {use: mlp, args: {width: 8}}\ncompress: "
        "{budget: 0.25, methods: []}\n"
    )
    ledger = SimpleNamespace(put_document=documents.__setitem__)
    trained = SimpleNamespace(
        recipe=recipe,
        prepared=mlp.prepared,
        metric="rmse",
        workspace=SimpleNamespace(ledger=ledger),
        module=lambda: mlp.module,
    )

    found = compress(trained, timing=QUICK)

    assert found.budget == 0.25
    assert documents["compression"] == found.to_dict()
    loaded = bundle.load(found.save(tmp_path / "b"))
    assert Recipe.from_yaml(loaded.recipe_yaml()) == recipe
    assert loaded.manifest.model["use"] == "mlp"
    assert compress(trained, budget=0.5, timing=QUICK).budget == 0.5


# -- what is refused -------------------------------------------------------------------------------


def test_wrong_arguments_are_refused_before_anything_is_done(mlp: Model) -> None:
    with pytest.raises(ValueError, match=r"`budget` must be at least 0, got -0\.1"):
        mlp.compressed("rmse", budget=-0.1)
    with pytest.raises(ValueError, match="`log_loss_budget` must be at least 0, got nan"):
        mlp.compressed("rmse", budget=0.1, log_loss_budget=np.nan)
    with pytest.raises(ValueError, match="expected `prefer` to be one of speed, size, got 'both'"):
        mlp.compressed("rmse", budget=0.1, prefer="both")
    with pytest.raises(ValueError, match=r"expected a metric of accuracy, .*got 'auto'"):
        mlp.compressed("auto", budget=0.1)


def test_a_model_that_diverged_is_refused(lstm: Model) -> None:
    module = nn.Linear(4, 3)
    with torch.no_grad():
        module.bias.fill_(torch.inf)

    with pytest.raises(ModelError, match="outputs that are not finite on the validation rows"):
        Model(module, lstm.prepared).compressed("accuracy", budget=0.1)


def test_outputs_that_are_probabilities_already_are_told(lstm: Model) -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=1))

    found = Model(module, lstm.prepared).compressed("accuracy", budget=0.1, methods=[])

    assert found.notes[0].startswith("the model's outputs look like probabilities")
