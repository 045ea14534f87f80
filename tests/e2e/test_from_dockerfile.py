"""A Dockerfile as buildah builds it, and the recipe that it becomes: the same tree, and the same at launch."""

import json
import tarfile
from pathlib import Path

import images
import pytest
from command import Command
from images import sh
from test_oci import entries, write

from treesmith.compare.differences import differences
from treesmith.store import Store

pytest.importorskip("dockerfile", reason="Dockerfiles are read by its module, which is not installed")
# Its base is USER me, WORKDIR /srv, and has an ENTRYPOINT, an environment and a port.
TEXT = """\
# escape=\\
ARG TAG=image
FROM oci:{layout}:${{TAG}}
LABEL description="A test"
ARG WHO="the tester"
ENV GREETING="hello {{x}}" NAME=${{WHO:-nobody}}
RUN echo mine > /home/me/mine; pwd > /home/me/where; echo "$GREETING, $NAME, $PLACE" \\
    # not said
    > /home/me/said
USER root
WORKDIR app
RUN ["/bin/sh", "-c", "false; id -u > uid"]
COPY --chown=me:staff --chmod=0640 one.txt renamed
COPY --chown=7 files *.md ./copied/
COPY . /all
ADD root.tar.gz one.txt /added/
RUN rm -r /srv/gone && ln -s app /srv/shortcut && chown -R me:staff copied
USER 7:8
EXPOSE 8080 53/udp
STOPSIGNAL INT
CMD ["cat uid; id -u; id -g; echo $GREETING"]
"""


def test_the_same_as_buildah(store: Store, treesmith: Command, layout: Path, tmp_path: Path) -> None:
    context = tmp_path / "context"
    (context / "files/deep").mkdir(parents=True)
    for name in ("one.txt", "a.md", "b.md", "files/x", "files/deep/y", "files/deep/z.log", "gone"):
        (context / name).write_text(name)
    (context / "files/x").chmod(0o755)
    (context / "files/deep").chmod(0o750)
    (context / "files/link").symlink_to("/etc/passwd")
    (context / ".dockerignore").write_text("gone\n**/*.log\napp.toml\nb.md\n")
    with tarfile.open(context / "root.tar.gz", "w:gz") as archive:
        archive.add(context / "files", "unpacked")
    (context / "Dockerfile").write_text(TEXT.format(layout=layout))

    buildah = images.storage("buildah", tmp_path)
    sh(*buildah, "bud", "-q", "--isolation=chroot", "--layers", "-t", "theirs", str(context))
    sh(*buildah, "push", "-q", "theirs", f"oci:{tmp_path}/theirs:image")
    treesmith("build", write(tmp_path, f"oci:{tmp_path}/theirs:image", name="theirs"))

    (context / "app.toml").write_text(treesmith("recipes", "--from-dockerfile", "context/Dockerfile").stdout)
    treesmith("build", "./context/app.toml")
    # Times are those of the copying; on overlay what two layers hold of one file is two files.
    ignoring = ("mtime", "links")
    found = [str(one) for one in differences(entries(store, "theirs"), entries(store, "app"), ignoring)]
    assert found == []
    ours, theirs = (store.find(name).launch for name in ("app", "theirs"))
    assert {**ours, "network": "private"} == {**theirs, "network": "private"} and ours["network"] == "private"
    said = [treesmith("launch", "-q", "--network=none", name).stdout for name in ("app", "theirs")]
    assert said == ["0\n7\n8\nhello {x}\n"] * 2
    plan = json.loads(treesmith("build", "./context/app.toml", "--dry-run", "--json").stdout)
    assert {action["verb"] for action in plan["plans"][0]["actions"]} == {"keep"}
    (context / "files/deep/z.log").write_text("who is ignored changes nothing")
    plan = json.loads(treesmith("build", "./context/app.toml", "--dry-run", "--json").stdout)
    assert {action["verb"] for action in plan["plans"][0]["actions"]} == {"keep"}


def test_what_cannot_be_is_said_by_line(treesmith: Command, layout: Path, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM oci:{layout}:image\n\nVOLUME /x\n")
    done = treesmith("recipes", "--from-dockerfile", "Dockerfile", status=2)
    assert "Dockerfile:3: VOLUME is not for a recipe" in done.stderr and "--bind" in done.stderr and not done.stdout
    assert "cannot be read" in treesmith("recipes", "--from-dockerfile", "nosuch", status=2).stderr
