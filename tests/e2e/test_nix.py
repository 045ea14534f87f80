"""nix into an empty root and into a tree, without a network; and all that can go wrong. Its builders are the host's."""

import json
import shutil
import time
from pathlib import Path

import filesystems
import pytest
from shop import Shop

from treesmith.build import lock
from treesmith.compare import differences
from treesmith.errors import Error
from treesmith.store import create_store

EXPRESSION = """
let
  make = name: script: derivation {
    inherit name; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-e" "-c" script ]; PATH = "/bin";
  };
  box = builtins.path { path = ./box; name = "busybox-1.35"; };
  says = name: text: make "${name}-1.0" ''
    mkdir -p $out/bin $out/share
    printf '#!${box}/bin/sh\\nread -r words <%s/share/${name}; echo $words\\n' $out >$out/bin/${name}
    echo "${text}" >$out/share/${name}; chmod 755 $out/bin/${name}
  '';
in {
  hello = says "hello" "hello from nix";
  other = says "other" "another";
  broken = make "broken-1.0" "echo no way to build this >&2; exit 3";
  far = import (builtins.fetchurl "http://127.0.0.1:9/far.nix");
  tampered = import (builtins.fetchurl { url = "file://${toString ./.}/far.nix"; sha256 = "SUM"; });
  big = make "big-1.0" "dd if=/dev/zero of=$out bs=1M count=64 2>&1";
}
""".replace("SUM", "0" * 52)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    (tmp_path / "pkgs/box/bin").mkdir(parents=True)
    (tmp_path / "pkgs/default.nix").write_text(EXPRESSION)
    (tmp_path / "pkgs/far.nix").write_text("{ }")
    shutil.copy("/bin/busybox", tmp_path / "pkgs/box/bin/sh")
    return Shop(create_store(str(tmp_path / "store"), "overlay"), tmp_path, "nix", "network = false\n", file="pkgs")


SAYS = '\n[[step]]\nrun = ["/nix/var/nix/profiles/default/bin/hello"]\n'


def test_a_closure_and_more_into_it(shop: Shop) -> None:
    more = '\n[[step]]\nnetwork = false\nnix = { packages = ["other"], file = "pkgs" }\n' + SAYS
    tree = shop.build(shop.write('"hello"', more=more))
    assert "hello from nix" in shop.heard.lines
    first, second, _ = tree.steps
    assert {"hello": "1.0", "busybox": "1.35"}.items() <= first["made"]["packages"].items()
    assert "other" not in first["made"]["packages"] and second["made"]["packages"]["other"] == "1.0"
    assert first["pinned"] and second["pinned"]
    there = shop.look(tree)
    assert there["nix/var/nix/profiles/default"] == "link" and there["nix/var/nix/db/db.sqlite"] == "file"
    assert there[second["made"]["profile"].lstrip("/")] == "directory" and there["etc/profile.d/treesmith-nix.sh"]
    assert not [path for path in there if path.endswith((".drv", "/reserved")) or path.startswith(("run/", "tmp/"))]
    shop.build(shop.folder / "base.toml")
    assert shop.plan and not shop.plan.to_make
    (shop.folder / "pkgs/default.nix").write_text(EXPRESSION.replace("hello from nix", "hello again"))
    shop.build(shop.folder / "base.toml")
    assert "hello again" in shop.heard.lines and "hello from nix" not in shop.heard.lines


def test_locked(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1750000000")
    more = '\n[[step]]\nnix = { packages = ["other"], file = "pkgs" }\n' + SAYS
    path = shop.write('"hello"', more=more)
    made = shop.build(path).steps[0]["made"]
    assert set(made["closure"]) > {made["profile"]} and made["closure"][made["profile"]].startswith("sha256:")
    locked = path.with_suffix(".lock")
    locked.write_text(lock(shop.store, str(path)))
    found = []
    for backend in ("overlay", "copy"):
        shop.store = create_store(str(tmp_path / backend), backend)
        tree = shop.build(path, locked="")
        assert tree.steps[0]["made"] == made and "hello from nix" in shop.heard.lines
        found.append(shop.all_of(tree))
        time.sleep(1.1)
    assert not [str(difference) for difference in differences(*found)]
    # Another builder than this machine's would make something else of it.
    said = json.loads(locked.read_text())
    (hello,) = (name for name in made["closure"] if name.endswith("-hello-1.0"))
    said["steps"][0]["made"]["closure"][hello] = "sha256:0"
    locked.write_text(json.dumps(said))
    shop.store = create_store(str(tmp_path / "other"), "overlay")
    with pytest.raises(Error, match=f"it made something else than what was locked\n{hello}"):
        shop.build(path, locked="")


@pytest.mark.parametrize(
    ("package", "says"),
    [
        ("nosuch", "attribute 'nosuch' in selection path 'nosuch' not found"),
        ("broken", "no way to build this"),
        ("far", "unable to download 'http://127.0.0.1:9/far.nix'"),
        ("tampered", "hash mismatch"),
    ],
)
def test_packages_that_cannot_be_had(shop: Shop, package: str, says: str) -> None:
    error = shop.fails(shop.write(f'"{package}"'))
    assert error.brief.startswith("base: step 1: nix: nix-env --install failed with status ")
    assert says in error.details


def test_what_is_refused_before_anything_is_done(shop: Shop) -> None:
    assert "is no attribute" in shop.fails(shop.write('"--option"')).brief
    assert "nix needs packages" in shop.fails(shop.write("")).brief
    assert "leaves the recipe's folder" in shop.fails(shop.write('"hello"', file="../pkgs")).brief


def test_a_full_disk(shop: Shop, tmp_path: Path) -> None:
    with filesystems.ext4(tmp_path, 48 * filesystems.MIB) as mounted:
        shop.store = create_store(str(mounted / "store"), "copy")
        error = shop.fails(shop.write('"big"'))
        assert "nix-env --install failed" in error.brief and "o space left on device" in error.details
