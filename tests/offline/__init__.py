"""Package repositories that need no network, made of the test machine's own programs: a Debian, an index of Python
packages, a registry of Node packages.
"""
