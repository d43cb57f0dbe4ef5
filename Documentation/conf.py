# SPDX-License-Identifier: GPL-2.0-only
"""Sphinx configuration. `make doc` sets KDIR to a prepared kernel source tree."""

import os
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
KDIR = os.environ["KDIR"]

# The kernel's own extension reads the comments of the user interface. It finds its parser through
# srctree, and the files that a page names through kerneldoc_srctree.
os.environ["srctree"] = KDIR
sys.path.insert(0, os.path.join(KDIR, "Documentation", "sphinx"))
extensions = ["kerneldoc"]
kerneldoc_srctree = TOP

project = "subregion_vfio_pci"
# pylint: disable-next=redefined-builtin
copyright = "its authors, GPL-2.0-only"
primary_domain = "c"
highlight_language = "c"
# Types and macros of the kernel in declarations.
c_id_attributes = ["__aligned_u64"]

html_theme = "alabaster"
html_copy_source = False
html_show_sphinx = False
# The output depends only on the sources: no date.
html_last_updated_fmt = None
