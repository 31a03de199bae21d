"""``python -m winnow`` is the ``winnow`` command."""

import os
import sys

# `python -m` puts the current directory before everything that is installed, so that a stray
# onnxruntime.py in it would be run.
if not sys.flags.safe_path and sys.path[:1] == [os.getcwd()]:
    del sys.path[0]

from winnow.cli import main

main()
