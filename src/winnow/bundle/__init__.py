"""The deployable artefact: a folder of safetensors, ONNX and JSON. Writing it needs PyTorch,
reading it does not.
"""

from winnow.bundle._files import MODEL
from winnow.bundle._find import find_bundle, is_bundle
from winnow.bundle._load import Answer, Bundle, load
from winnow.bundle._manifest import Manifest, VerdictRecord
from winnow.bundle._onnx import export_onnx
from winnow.bundle._parity import BATCH_SIZES, Parity, inference_copy, measure_parity
from winnow.bundle._predict_file import predict_file
from winnow.bundle._record import BundleRecord, FileRecord
from winnow.bundle._save import save
from winnow.bundle._session import check_self_contained, open_session, run_onnx
from winnow.bundle._silence import quiet
from winnow.bundle._write import clean_up

__all__ = [
    "BATCH_SIZES",
    "MODEL",
    "Answer",
    "Bundle",
    "BundleRecord",
    "FileRecord",
    "Manifest",
    "Parity",
    "VerdictRecord",
    "check_self_contained",
    "clean_up",
    "export_onnx",
    "find_bundle",
    "inference_copy",
    "is_bundle",
    "load",
    "measure_parity",
    "open_session",
    "predict_file",
    "quiet",
    "run_onnx",
    "save",
]
