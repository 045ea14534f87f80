"""Root filesystem trees: build them with the distribution's tools, snapshot them, launch them."""

__version__ = "0.1.0"

# `rootless` changes both, before any module that uses them is imported.
RUN = "/run/treesmith"  # where what runs is recorded
ROOTLESS = False
