"""The summary of a run, from documents made by hand."""

from __future__ import annotations

from tests.report.documents import classification

from winnow.pipeline._summary import summary


def test_an_int8_model_that_does_not_ship_takes_one_line() -> None:
    compression = classification()["compression"]
    slow = (
        "loss of accuracy 0.003 [-0.010, 0.016] on 360 rows, which may be over the budget of "
        "0.01: about 900 rows would "
        "decide, if the loss stays; slower than float32 in ONNX Runtime (compress.prefer: size "
        "would take it for its size)"
    )
    losses = [
        {"metric": "accuracy", "verdict": "undecided", "rows_needed": 900},
        {"metric": "log_loss", "verdict": "over", "rows_needed": None},
        {"metric": "f", "verdict": "within", "rows_needed": None},
    ]
    int8 = compression["candidates"][-1] | {
        "accepted": False,
        "gain": "slower",
        "reason": slow,
        "losses": losses,
    }
    compression["candidates"][-1:] = [int8, int8 | {"name": "int8 dynamic", "losses": []}]
    verdicts = [
        f"int8 does not ship: {slow}",
        "int8 is not faster everywhere than float32 in ONNX Runtime on this machine: at "
        "batch 1 it takes 1.2 times as long",
        f"int8 dynamic does not ship: {slow}",
        "so the float32 model ships",
    ]
    noted = "the model's outputs look like probabilities"
    compression |= {"chosen": "onnx", "notes": [noted, *verdicts], "verdict_notes": verdicts}

    said = summary({"compression": compression})

    assert said[0][0] == "ships"
    assert [text for _, text in said[1:]] == [
        "int8 does not ship: slower than float32, loses too much",
        "int8 dynamic does not ship: slower than float32",
        "the model's outputs look like probabilities",
    ]


def test_models_that_do_not_ship_for_one_reason_are_all_named() -> None:
    compression = classification()["compression"]
    int8 = compression["candidates"][-1] | {"accepted": False, "gain": "slower", "losses": []}
    compression["candidates"][-1:] = [int8, int8 | {"name": "Codebook(entries=64)"}]
    compression |= {"chosen": "onnx", "notes": [], "verdict_notes": []}

    said = summary({"compression": compression})

    assert [text for _, text in said[1:]] == [
        "int8 and Codebook(entries=64) do not ship: slower than float32"
    ]


def test_what_an_interval_covers_stands_beside_it() -> None:
    documents = classification()
    metrics = documents["evaluation"]["metrics"]
    shipped = {"metrics": metrics, "rows": 360, "kind": "onnx", "parity": {}, "notes": []}
    said = dict(
        summary(
            {name: documents[name] for name in ("search", "final", "evaluation")}
            | {"shipped": shipped}
        )
    )
    assert (
        "fresh seeds (interval over seeds alone, on the validation rows), the best of "
        in said["search"]
    )
    assert said["validation"].endswith(
        " over 5 final seeds (interval over seeds alone, on the validation rows)"
    )
    assert said["test"].endswith(" (intervals over other rows like these 360 and other seeds)")
    assert said["the file"].endswith(
        " (the shipped file's own; intervals over other rows like these 360)"
    )


def test_one_seed_has_no_interval_over_seeds() -> None:
    documents = classification()
    score = documents["final"]["score"] | {"n": 1, "low": None, "high": None}
    metrics = {
        name: interval | {"n": 1} for name, interval in documents["evaluation"]["metrics"].items()
    }
    said = dict(
        summary(
            {
                "final": documents["final"] | {"score": score},
                "evaluation": documents["evaluation"] | {"metrics": metrics},
            }
        )
    )
    assert said["validation"].endswith("(no interval) over 1 final seeds")
    assert said["test"].endswith(" (intervals over other rows like these 360; one seed)")


def test_an_ablation_that_was_not_wanted_is_told() -> None:
    final, run = {"final": classification()["final"]}, classification()["run"]
    quick = dict(
        summary(
            final
            | {
                "run": run
                | {"quick": "a small version of the recipe (--quick): ...", "ablate": False}
            }
        )
    )
    assert quick["quick"] == "a small version of the recipe (--quick): ..."
    assert quick["ablation"].startswith("skipped (--quick): ")
    full = dict(summary(final | {"run": run | {"quick": None, "ablate": False}}))
    assert "quick" not in full
    assert full["ablation"].startswith("skipped (--no-ablate): ")
    assert "ablation" not in dict(summary(final | {"run": run | {"ablate": True}}))
    assert "ablation" not in dict(summary({"run": run | {"ablate": False}})), (
        "nothing was trained yet"
    )
