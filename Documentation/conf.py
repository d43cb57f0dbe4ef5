# SPDX-License-Identifier: GPL-2.0
"""How sphinx builds this directory; `make doc` sets KDIR to a prepared kernel source tree."""

import os
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
KDIR = os.environ["KDIR"]

# The kernel's own extension reads the comments of the user interface. It finds the parser by
# srctree, and the files that it is pointed at by kerneldoc_srctree.
os.environ["srctree"] = KDIR
sys.path.insert(0, os.path.join(KDIR, "Documentation", "sphinx"))
extensions = ["kerneldoc"]
kerneldoc_srctree = TOP

project = "subregion_vfio_pci"
# pylint: disable-next=redefined-builtin
copyright = "its authors, GPL-2.0"
primary_domain = "c"
highlight_language = "c"
# The kernel's types and macros, as they stand in declarations.
c_id_attributes = ["__aligned_u64"]

html_theme = "alabaster"
html_copy_source = False
html_show_sphinx = False
# What is built is what is here: no dates, no version.
html_last_updated_fmt = None
