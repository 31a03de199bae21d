"""The command line: parse, call, print. Everything heavy is imported inside the commands."""

from winnow.cli._app import app, main

__all__ = ["app", "main"]
