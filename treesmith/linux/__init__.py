"""Thin calls into the kernel that Python's os module does not have. No policy: every decision is the caller's.

`_ctypes` instead of `ctypes`, here and only here: the wrapper module costs 7 ms at start, which is a third of a launch.
"""
