"""A bundle scales numbers as training did, with neither PyTorch nor the scaler at hand."""

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
from winnow.methods import BaseScaler, Curve

class Root(BaseScaler):
    def fit_column(self, values_N):
        return Curve.of(np.cbrt, values_N)
"""

# Run where there is neither the module of the scaler nor PyTorch
ELSEWHERE = """
import json, sys
import numpy as np
sys.modules["torch"] = None
from winnow import bundle
loaded = bundle.load(sys.argv[1])
rows = np.array(json.loads(sys.argv[2]))
print(json.dumps([loaded.predict(rows).tolist(), loaded.logits(rows).tolist()]))
assert "root_scaler" not in sys.modules
"""


@pytest.mark.parametrize("scale", ["rank_gauss", "root_scaler:Root"])
def test_a_bundle_predicts_as_training_did(
    scale: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "root_scaler.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    rng = np.random.default_rng(0)
    X = rng.lognormal(0, 2, (240, 3))
    y = X[:, 0] * X[:, 1] > X[:, 2]
    recipe = Recipe(
        name="scaled",
        data=Data.arrays(X, y.astype(int), prepare=Prepare(scale=scale)),
        model=Model("mlp", width=8, depth=1),
        train=Train(epochs=20, batch_size=16),
        ablate=Ablate(parts=["scale"], seeds=2),
        final=Final(seeds=2),
    )
    done = run(recipe, out=tmp_path / "run", ablate=False)
    assert done.bundle is not None
    loaded = bundle.load(done.bundle)

    trained = done.trained.module()
    fresh = np.vstack([X[:50], 1e3 * X[:5], -X[:5]])
    prepared = loaded.preparation
    assert json.loads((done.bundle / "preparation.json").read_text())["format"] == 3
    with torch.inference_mode():
        outputs = trained(torch.from_numpy(prepared.transform(fresh))).numpy()
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
    np.testing.assert_array_equal(np.float32(logits), loaded.logits(fresh))
