"""A bundle over HTTP: the API, its description, and a page to try it out."""

from __future__ import annotations

from winnow.serve._app import create_app
from winnow.serve._protocol import Predictor
from winnow.serve._server import serve

__all__ = ["Predictor", "create_app", "serve"]
