"""The summary of a run, from documents made by hand."""

from __future__ import annotations

from tests.report.documents import classification

from winnow.flow._summary import summary


def test_an_int8_model_that_does_not_ship_takes_one_line() -> None:
    compression = classification()["compression"]
    slow = (
        "loss of accuracy 0.003 [-0.010, 0.016] on 360 rows, which may be over the budget of 0.01: about 900 rows would "
        "decide, if the loss stays; slower than float32 in ONNX Runtime (compress.prefer: size would take it for its size)"
    )
    losses = [
        {"metric": "accuracy", "verdict": "undecided", "rows_needed": 900},
        {"metric": "log_loss", "verdict": "over", "rows_needed": None},
        {"metric": "f", "verdict": "within", "rows_needed": None},
    ]
    int8 = compression["candidates"][-1] | {"accepted": False, "reason": slow, "losses": losses}
    compression["candidates"][-1:] = [int8, int8 | {"name": "int8 dynamic", "losses": []}]
    compression |= {
        "chosen": "onnx",
        "notes": [
            "the model's outputs look like probabilities",
            f"int8 does not ship: {slow}",
            "int8 is not faster everywhere than float32 in ONNX Runtime on this machine: at batch 1 it takes 1.2 times as long",
            f"int8 dynamic does not ship: {slow}",
            "so the float32 model ships",
        ],
    }

    said = summary({"compression": compression})

    assert said[0][0] == "ships"
    assert [text for _, text in said[1:]] == [
        "int8 does not ship: slower than float32, loses more than its budget",
        "int8 dynamic does not ship: slower than float32",
        "the model's outputs look like probabilities",
    ]
