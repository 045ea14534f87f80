"""Root filesystem trees: build them with the distribution's tools, snapshot them, launch them."""

__version__ = "0.1.0"
