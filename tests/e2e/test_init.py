"""init: a store is made with what works, said with reasons; where the store is, by flag, environment and config."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import filesystems
import pytest
from command import Command, environment, on

from treesmith.store import Store, open_store
from treesmith.store.place import CONFIG

WITHOUT = "import sys; sys.modules['btrfsutil'] = None; from treesmith.__main__ import main; main()"


def test_it_says_what_it_tried_and_chose(treesmith: Command, store_path: Path) -> None:
    done = treesmith("init")
    backend = open_store(str(store_path)).backend.name
    rows = {line.split()[0]: line.split(None, 2)[1:] for line in done.stdout.splitlines()[1:]}
    assert list(rows) == ["btrfs", "zfs", "overlay", "copy"]
    assert rows["zfs"] == ["no", f"{store_path} is not on ZFS"]
    assert rows[backend][0] == "yes"
    assert "chosen" in rows[backend][1]
    assert f"is a store now, kept by {backend}" in done.stderr
    again = treesmith("init")
    assert f"is a store already, kept by {backend}" in again.stderr
    assert again.stdout == ""


def test_as_json(treesmith: Command, store_path: Path) -> None:
    made = json.loads(treesmith("init", "--backend", "copy", "--json").stdout)
    assert made == {
        "version": 1, "store": str(store_path), "backend": "copy", "made": True,
        "tried": [{"backend": "copy", "works": True, "why": "", "advice": ""}],
    }  # fmt: skip
    there = json.loads(treesmith("init", "--json").stdout)
    assert (there["backend"], there["made"], there["tried"]) == ("copy", False, [])


def test_a_store_of_another_backend_is_refused(treesmith: Command, store: Store) -> None:
    other = {"overlay": "copy", "copy": "overlay"}[store.backend.name]
    assert f"kept by {store.backend.name}, not {other}" in treesmith("init", "--backend", other, status=1).stderr
    treesmith("init", "--backend", store.backend.name)


def test_what_cannot_be_is_refused_with_reasons(treesmith: Command, store_path: Path) -> None:
    said = treesmith("init", "--backend", "zfs", status=1).stderr
    assert "is not on ZFS" in said
    assert "no backend 'tape'" in treesmith("init", "--backend", "tape", status=1).stderr
    assert not store_path.exists()
    store_path.mkdir()
    (store_path / "mine").touch()
    assert "it holds mine" in treesmith("init", status=1).stderr
    assert [entry.name for entry in store_path.iterdir()] == ["mine"]


def test_btrfs_without_its_binding_is_spoken_of(tmp_path: Path) -> None:
    def without(store: Path, *words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-c", WITHOUT, *words]
        return subprocess.run(argv, env=environment(store), capture_output=True, text=True, check=True)

    recipe = tmp_path / "app.toml"
    (tmp_path / "folder").mkdir()
    subprocess.run(["tar", "-C", tmp_path, "-cf", tmp_path / "a.tar", "folder"], check=True)
    recipe.write_text('[[step]]\ntar = { file = "a.tar" }\n')
    with filesystems.btrfs(tmp_path, 128 << 20) as folder:
        done = without(folder / "one", "init")
        assert "btrfs    no     the backend btrfs needs the Python module btrfsutil" in done.stdout
        assert open_store(str(folder / "one")).backend.name == "overlay"
        assert "btrfs would work there and be better" in done.stderr
        assert "pip install 'treesmith[btrfs]'" in done.stderr
        assert "btrfs would work there and be better" in without(folder / "two", "build", str(recipe)).stderr
        assert "would work" not in without(folder / "two", "build", str(recipe)).stderr
        for store in ("two", "none"):
            row = next(line for line in without(folder / store, "doctor").stdout.splitlines() if " store " in line)
            assert row.startswith("warn")
            assert "btrfs would be better" in row
            assert "pip install" in row


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    """/etc/treesmith/config.toml, for this test's processes only."""
    for name in ("upper", "work"):
        (tmp_path / "etc" / name).mkdir(parents=True)
    options = f"lowerdir=/etc,upperdir={tmp_path}/etc/upper,workdir={tmp_path}/etc/work"
    subprocess.run(["mount", "-t", "overlay", "etc", "-o", options, "/etc"], check=True)
    Path(CONFIG).parent.mkdir(exist_ok=True)
    try:
        yield Path(CONFIG)
    finally:
        subprocess.run(["umount", "/etc"], check=True)


def test_where_the_store_is(config: Path, tmp_path: Path) -> None:
    command = on(tmp_path / "by-environment")
    config.write_text(f'store = "{tmp_path}/by-config"\n')
    command("init", "--store", f"{tmp_path}/by-flag")
    command("init")
    command("init", TREESMITH_STORE="")
    assert sorted(path.name for path in tmp_path.glob("by-*")) == ["by-config", "by-environment", "by-flag"]
    assert command("ls", TREESMITH_STORE="").returncode == 0


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("store = 1", "no absolute path"),
        ('store = "relative"', "no absolute path"),
        ('shop = "/srv"', "unknown: shop"),
        ("store", "cannot be read"),
    ],
)
def test_a_config_that_makes_no_sense_is_an_error(config: Path, text: str, complaint: str, tmp_path: Path) -> None:
    config.write_text(text)
    done = on(tmp_path / "store")("ls", status=2, TREESMITH_STORE="")
    assert complaint in done.stderr
    assert CONFIG in done.stderr
