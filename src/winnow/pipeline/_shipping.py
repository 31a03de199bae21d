"""The bundle of a run: which training it belongs to, whether it is whole, and how it is made."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

from winnow import bundle
from winnow.bundle import Bundle, BundleRecord
from winnow.compression import (
    CompressionRecord,
    CompressionResult,
    ShippedFile,
    ShippedRecord,
    measure_shipped,
)
from winnow.errors import BundleError
from winnow.evaluation import BaselinesRecord
from winnow.ledger import Ledger
from winnow.recipe import Compressor, Recipe, resolve_object, source_digest
from winnow.records import recall
from winnow.study import TrainingResult

__all__ = [
    "bundle_facts",
    "bundle_key",
    "forget_other_bundle",
    "is_current",
    "measure_before_saving",
]

# Documents about the file that ships
OF_THE_BUNDLE = (BundleRecord, CompressionRecord, ShippedRecord)


def bundle_key(trained: TrainingResult, recipe: Recipe) -> str:
    """Name what a bundle depends on: the trained variants, and how the best was to be compressed.

    Args:
        trained: the final training.
        recipe: as it was asked.

    Returns:
        Twenty hexadecimal digits.
    """
    facts: dict[str, Any] = {
        "variant": trained.variants[trained.best].id,
        "compress": recipe.compress.model_dump(mode="json"),
        # The test metrics of every final seed stand in the bundle
        "trained": [variant.id for variant in trained.variants],
    }
    methods = recipe.compress.methods
    used = [method.use for method in methods if isinstance(method, Compressor)]
    if used:
        # An edited compressor is another one
        facts["compressors"] = [source_digest(resolve_object(name)) for name in used]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:20]


def is_current(path: Path, key: str, ledger: Ledger) -> bool:
    """Tell whether the bundle at ``path`` is whole and belongs to ``key``.

    Args:
        path: the folder of the bundle, which need not be there.
        key: see ``bundle_key``.
        ledger: of the run, whose documents about the bundle must be there, too.
    """
    facts = recall(ledger, BundleRecord)
    shipped = recall(ledger, ShippedRecord)
    compared = recall(ledger, BaselinesRecord)
    if facts is None or shipped is None or compared is None:
        return False
    if recall(ledger, CompressionRecord) is None or facts.made_from != key:
        return False
    # The metrics and the verdict must be of this very model file.
    if not facts.files[bundle.MODEL].sha256 == shipped.sha256 == compared.file:
        return False
    try:
        return bundle.load(path).manifest.files == facts.files
    except BundleError:
        return False


def forget_other_bundle(ledger: Ledger, key: str) -> None:
    """Drop the facts about a bundle of another training, which would stand beside the scores of
    this one.
    """
    facts = recall(ledger, BundleRecord)
    if facts is None or facts.made_from == key:
        return
    for kind in OF_THE_BUNDLE:
        ledger.remove_document(kind.NAME)


def measure_before_saving(compressed: CompressionResult, trained: TrainingResult) -> ShippedFile:
    """Write the file that ships, read it back and run it over the test rows.

    What ships was chosen before. The file is written aside, since the bundle proper is to hold what
    is measured here.
    """
    with tempfile.TemporaryDirectory(prefix="winnow-") as folder:
        path = compressed.save(Path(folder) / "shipped.winnow")
        loaded = bundle.load(path)
        return measure_shipped(loaded, trained.prepared, trained.module(), trained.metric)


def bundle_facts(loaded: Bundle, *, made_from: str) -> BundleRecord:
    """Return the document ``bundle``.

    Args:
        loaded: the bundle.
        made_from: names the trained variants and the settings that it belongs to.
    """
    size = sum(path.stat().st_size for path in loaded.path.iterdir() if path.is_file())
    return BundleRecord(str(loaded.path), size, loaded.manifest.files, made_from)
