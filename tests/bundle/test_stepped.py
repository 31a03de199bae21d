"""A bundle takes the steps of training, with neither PyTorch nor the module of a step at hand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from winnow import bundle
from winnow.pipeline import run
from winnow.recipe import Ablate, Data, Final, Model, Prepare, Recipe, Train

OWN = """
import numpy as np
from winnow.methods import Affine, BaseStep, Beside, Function

class Waves(BaseStep):
    count: int = 4

    def learn(self, features_NF, names, targets_N):
        rng = np.random.default_rng(0)
        weight = rng.normal(size=(self.count, len(names)))
        labels = [f"wave {i}" for i in range(self.count)]
        return Beside([[], [Affine(weight, np.zeros(self.count), labels), Function("cos")]])
"""

# Run where there is neither the module of the step nor PyTorch
ELSEWHERE = """
import json, sys
import numpy as np
sys.modules["torch"] = None
from winnow import bundle
loaded = bundle.load(sys.argv[1])
rows = np.array(json.loads(sys.argv[2]))
print(json.dumps([loaded.predict(rows).tolist(), loaded.logits(rows).tolist()]))
assert "wave_steps" not in sys.modules
"""


def test_a_bundle_predicts_as_training_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wave_steps.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(240, 5))
    y = X[:, 0] * X[:, 1] > X[:, 2] * X[:, 3]
    waves = {"use": "wave_steps:Waves", "args": {"count": 3}}
    steps = [waves, {"kind": "polynomial"}, {"kind": "pca", "components": 20}]
    recipe = Recipe(
        name="stepped",
        data=Data.arrays(X, y.astype(int), prepare=Prepare(steps=steps)),
        model=Model("mlp", width=8, depth=1),
        train=Train(epochs=20, batch_size=16),
        ablate=Ablate(parts=["step.polynomial"], seeds=2),
        final=Final(seeds=2),
    )
    done = run(recipe, out=tmp_path / "run")
    assert done.bundle is not None
    loaded = bundle.load(done.bundle)
    prepared = loaded.preparation

    report = done.report.read_text()
    assert "step.<wbr>polynomial" in report
    assert "data.prepare.steps[0] (wave_steps:Waves): 5 features become 8" in report
    assert "beside" in [operation.KIND for operation in prepared.program.operations]
    assert [field["name"] for field in loaded.schema] == [f"x{i}" for i in range(5)]
    assert json.loads((done.bundle / "preparation.json").read_text())["format"] == 4
    fresh = np.vstack([X[:50], 1e3 * X[:5], -X[:5]])
    with torch.inference_mode():
        outputs = done.trained.module()(torch.from_numpy(prepared.transform(fresh))).numpy()
    np.testing.assert_allclose(loaded.logits(fresh), outputs, rtol=1e-4, atol=1e-4)

    environment = {"PYTHONPATH": ":".join(p for p in sys.path if p != str(tmp_path))}
    found = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(done.bundle), json.dumps(fresh.tolist())],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert found.returncode == 0, found.stderr
    labels, logits = json.loads(found.stdout)
    assert labels == loaded.predict(fresh).tolist()
    np.testing.assert_allclose(np.float32(logits), loaded.logits(fresh), rtol=1e-5, atol=1e-5)
