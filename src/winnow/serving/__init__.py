"""A bundle over HTTP: the API, its description, and a page to try it out."""

from __future__ import annotations

from winnow.serving._app import create_app
from winnow.serving._protocol import Predictor
from winnow.serving._server import serve

__all__ = ["Predictor", "create_app", "serve"]
