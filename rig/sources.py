# SPDX-License-Identifier: GPL-2.0-only
"""Finds the files of the project, without git, which a source package does not have."""

import os
import pathlib

TOP = pathlib.Path(__file__).resolve().parent.parent

BUILT = {".git", "build", "target", "__pycache__"}


def files():
    """Returns the sorted paths of the files below TOP, except links and build results."""
    found = []
    for directory, below, names in os.walk(TOP):
        below[:] = set(below) - BUILT
        found += [pathlib.Path(directory, name) for name in names]
    return sorted(path.relative_to(TOP) for path in found if not path.is_symlink())
