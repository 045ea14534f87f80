"""What a tree is made of, as other tools read it; held against the formats' own validators."""

import json
import os
import shutil
from pathlib import Path

import pytest
from command import Command, make_tree
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from treesmith.inventory import Archive, Part, parts
from treesmith.store import Store

DIGEST = "sha256:" + "a" * 64
Words = dict[str, str]
LONG = "sha512:" + "b" * 128


def step(
    kind: str, packages: dict[str, str], archives: dict[str, str] | None = None, **inputs: str
) -> dict[str, object]:
    table = {
        name: {"digest": LONG if kind == "npm" else DIGEST, "source": url} for name, url in (archives or {}).items()
    }
    return {"kind": kind, "inputs": inputs, "made": {"packages": packages, "archives": table}}


IMAGE = {"image": "docker://registry.example/debian:12", "manifest": DIGEST, "digest": DIGEST, "layers": []}
STEPS = [
    {"kind": "oci", "inputs": {}, "made": IMAGE},
    step(
        "apt",
        {"hello:amd64": "1:2.0-1", "gone:all": "1"},
        {"hello:amd64": "http://m.example/pool/hello_2.0-1_amd64.deb"},
    ),
    step("dnf", {"bash.x86_64": "1:5.2-1.fc40"}, {"bash.x86_64": "http://m.example/bash-5.2-1.fc40.x86_64.rpm"}),
    step(
        "pip",
        {"Flask_Login": "1.0", "pip": "23"},
        {"Flask_Login": "http://p/F-1.0-py3-none-any.whl"},
        venv="/v",
    ),
    step(
        "npm",
        {"@types/node": "20.0.0", "a/node_modules/b": "2.0.0"},
        {"a/node_modules/b": "http://n/b-2.0.0.tgz"},
        to="/srv",
    ),
    step("gem", {"rack": "3.0, 2.2"}, {"rack-3.0": "http://g/gems/rack-3.0.gem"}),
    step("cpan", {"Try::Tiny": "0.31"}, {"Try-Tiny-0.31": "http://c/authors/id/E/ET/ETHER/Try-Tiny-0.31.tar.gz"}),
    step("run", {}),
]
DPKG = """\
Package: hello
Status: install ok installed
Architecture: amd64
Version: 1:2.0-1

Package: inside
Status: install ok installed
Architecture: all
Version: 1
"""
PURLS = {
    "pkg:alpm/debian/pacman@6.0-1?distro=debian-bookworm",
    "pkg:cpan/ETHER/Try-Tiny@0.31",
    "pkg:deb/debian/hello@1:2.0-1?arch=amd64&distro=debian-bookworm",
    "pkg:deb/debian/inside@1?arch=all&distro=debian-bookworm",
    "pkg:gem/rack@2.2",
    "pkg:gem/rack@3.0",
    "pkg:npm/%40types/node@20.0.0",
    "pkg:npm/b@2.0.0",
    f"pkg:oci/debian@{DIGEST}?repository_url=registry.example/debian&tag=12",
    "pkg:pypi/flask-login@1.0",
    "pkg:pypi/pip@23",
    "pkg:rpm/debian/bash@5.2-1.fc40?arch=x86_64&distro=debian-bookworm&epoch=1",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for name, text in (
        ("var/lib/dpkg/status", DPKG), ("etc/os-release", 'ID=debian\nVERSION_CODENAME="bookworm"\n'),
        ("var/lib/pacman/local/pacman-6.0-1/desc", "x"),
    ):  # fmt: skip
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_documents(store: Store, treesmith: Command, root: Path, tmp_path: Path) -> None:
    with store.stage() as stage:
        stage.create()
        view = store.backend.open(stage, "rw")
        fd = view.mount()
        shutil.copytree(root, f"/proc/self/fd/{fd}", dirs_exist_ok=True)
        os.close(fd)
        view.close()
        store.publish(stage, "build", "tree", steps=STEPS, sealed=True)
    said = treesmith("sbom", "tree").stdout
    assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(said) is None
    components = json.loads(said)["components"]
    assert {one["purl"] for one in components} == PURLS
    hashes = {one["name"]: [(each["alg"], each["content"]) for each in one.get("hashes", [])] for one in components}
    assert (
        hashes["hello"] == [("SHA-256", "a" * 64)] and hashes["b"] == [("SHA-512", "b" * 128)] and not hashes["inside"]
    )
    assert treesmith("sbom", "tree", "--format=cyclonedx").stdout == said

    treesmith("sbom", "tree", "--format=spdx", f"--output={tmp_path}/tree.spdx.json")
    document = parse_file(f"{tmp_path}/tree.spdx.json")
    assert not validate_full_spdx_document(document)
    assert {ref.locator for package in document.packages for ref in package.external_references} == PURLS
    hello = next(package for package in document.packages if package.name == "hello")
    assert (
        hello.download_location == "http://m.example/pool/hello_2.0-1_amd64.deb"
        and hello.checksums[0].value == "a" * 64
    )
    tiny = next(package for package in document.packages if package.name == "ETHER/Try-Tiny")
    assert tiny.source_info == "http://c/authors/id/E/ET/ETHER/Try-Tiny-0.31.tar.gz"


def test_what_is_not_written(store: Store, treesmith: Command, tmp_path: Path) -> None:
    make_tree(store, "empty")
    assert "no format 'xml'" in treesmith("sbom", "empty", "--format=xml", status=2).stderr
    assert "cannot be written" in treesmith("sbom", "empty", f"--output={tmp_path}/no/x", status=1).stderr
    (tmp_path / "cyclonedx.py").write_text("raise ImportError('no such thing')\n")
    failed = treesmith("sbom", "empty", status=1, PYTHONPATH=f"{tmp_path}:{os.environ.get('PYTHONPATH', '.')}")
    assert "pip install 'treesmith[sbom]'" in failed.stderr


def test_the_newest_of_a_step_counts(root: Path) -> None:
    steps = [step("apt", {"hello:amd64": "1"}, {"hello:amd64": "http://old/h.deb"}), STEPS[1]]
    fd = os.open(root, os.O_RDONLY)
    try:
        found = parts(steps, fd)
    finally:
        os.close(fd)
    archive = Archive(DIGEST, "http://m.example/pool/hello_2.0-1_amd64.deb")
    assert Part("deb", "hello", "1:2.0-1", "amd64", archive) in found and len(found) == 3
