"""A recipe to start from."""

from string import Template

_TEXT = Template("""\
description = "$name"
from = "debian-base"               # or another that `treesmith recipes` lists; without it step 1 fills an empty root

[vars]
greeting = "hello"                 # --set greeting=hi; "{greeting}" in options and env

[[step]]
apt = ["ca-certificates"]          # packages, by the tree's own apt

[[step]]
run = 'echo "$$GREETING" >/etc/motd'   # /bin/sh -e; a list is an argv
env = { GREETING = "{greeting}" }

# [[step]]
# copy = { from = "files", to = "/srv" }   # what is in the folder `files` beside this file

[launch]                           # how the tree wants to be launched
command = ["cat", "/etc/motd"]
# user = "daemon"
# network = "private"
# ports = ["8080:80"]
""")


def template(name: str) -> str:
    """The text of a recipe called `name`, which builds."""
    return _TEXT.substitute(name=name)
