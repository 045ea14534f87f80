"""What a backend keeps for nobody is found and removed, and nothing else is."""

import errno
import os
import subprocess
from pathlib import Path

import pytest
from forest import content, opened, plant

from treesmith.compare import differences
from treesmith.store import Store


def everything(store: Store) -> list[str]:
    return sorted(
        str(Path(folder, name).relative_to(store.path))
        for folder, folders, files in os.walk(store.path)
        for name in (*folders, *files)
    )


def test_discard_leaves_nothing_and_again_is_harmless(store: Store) -> None:
    before = everything(store)
    for source in (None, True):
        with store.stage() as stage:
            if source is None:
                stage.create()
                with opened(store, stage) as root:
                    plant(root)
            store.backend.discard(stage)
            assert not os.path.exists(stage.home)
            store.backend.discard(stage)
    assert everything(store) == before


def test_what_a_removal_would_give_back_is_measured(store: Store) -> None:
    with store.stage() as stage:
        stage.create()
        with opened(store, stage) as root:
            (root / "big").write_bytes(os.urandom(3 << 20))
        base = store.publish(stage, "build", "base", sealed=True)
    os.sync()
    os.rename(base.home, f"{store.path}/trash/{base.id}")
    waste = [f"{store.path}/trash/{base.id}", *store.backend.orphans([], frozenset())]
    sizes = [store.backend.reclaimable(path) for path in waste]
    if store.backend.name == "copy" and sizes == [None]:
        return  # the filesystem may share it with another file
    assert 3 << 20 <= sum(size or 0 for size in sizes) < 4 << 20


def test_a_failed_block_leaves_nothing(store: Store) -> None:
    with store.stage() as stage:
        stage.create()
        base = store.publish(stage, "build", "base", sealed=True)
    before = everything(store)
    with pytest.raises(KeyError), store.stage() as stage:
        stage.fork(base)
        with opened(store, stage) as root:
            plant(root)
        raise KeyError
    assert everything(store) == before


def test_orphans_are_what_no_record_names_and_nobody_is_making(store: Store) -> None:
    with store.stage() as stage:
        stage.create()
        with opened(store, stage) as root:
            plant(root)
        base = store.publish(stage, "build", "base", sealed=True)
    fork = store.snapshot(base, "fork")
    with store.stage() as making:
        making.fork(base)
        held = frozenset({making.id})
        assert store.backend.orphans([base, fork], held) == []
        alone = store.backend.orphans([base], held)
        for path in alone:
            store.backend.clear(path)
        assert store.backend.orphans([base], held) == []
        before = content(store, base)
        with opened(store, making) as root:
            assert (root / "etc/motd").read_text() == "hello\n"
        for path in store.backend.orphans([base], frozenset()):
            store.backend.clear(path)
            store.backend.clear(path)
        assert not list(differences(before, content(store, base)))


def test_clearing_never_crosses_a_mount(store: Store, tmp_path: Path) -> None:
    """Nor a bind mount of the same filesystem, which has the same device number."""
    trash, elsewhere = Path(store.path, "trash/tree"), Path(store.path, "cache/elsewhere")
    for folder in (trash / "a/mounted", elsewhere):
        folder.mkdir(parents=True)
    (elsewhere / "file").write_text("not yours")
    (trash / "other").touch()
    subprocess.run(["mount", "--bind", elsewhere, trash / "a/mounted"], check=True)
    try:
        with pytest.raises(OSError) as caught:
            store.backend.clear(str(trash))
        assert caught.value.errno in (errno.EXDEV, errno.EBUSY)
        assert (elsewhere / "file").read_text() == "not yours"
    finally:
        subprocess.run(["umount", trash / "a/mounted"], check=True)
    store.backend.clear(str(trash))
    assert not trash.exists()
    assert (elsewhere / "file").read_text() == "not yours"


def test_clearing_follows_no_link(store: Store, tmp_path: Path) -> None:
    trash = Path(store.path, "trash/tree")
    trash.mkdir()
    (tmp_path / "file").touch()
    os.symlink(tmp_path, trash / "out")
    os.symlink("/", trash / "host")
    store.backend.clear(str(trash))
    assert (tmp_path / "file").exists()
    assert not trash.exists()


def test_clearing_what_is_deep_and_what_does_not_want_to_go(store: Store) -> None:
    trash = Path(store.path, "trash/tree")
    trash.mkdir()
    plant(trash)
    here = os.open(".", os.O_PATH)
    os.chdir(trash)
    for _ in range(3000):
        os.mkdir("deep")
        os.chdir("deep")
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY))
    os.fchdir(here)
    os.close(here)
    os.chmod(trash / "dir", 0)
    subprocess.run(["chattr", "+i", trash / "etc/motd", trash / "etc"], check=True)
    subprocess.run(["chattr", "+a", trash / "sticky"], check=True)
    store.backend.clear(str(trash))
    assert not trash.exists()
    store.backend.clear(str(trash))


def test_measuring_what_was_removed_meanwhile_is_no_error(store: Store) -> None:
    with store.stage() as stage:
        stage.create()
        base = store.publish(stage, "build", "base", sealed=True)
    fork = store.snapshot(base, "fork")
    meter = store.backend.measure([base, fork])
    store.remove([fork])
    assert not meter.usage(fork).exclusive
