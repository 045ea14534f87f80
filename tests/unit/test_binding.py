"""Without its binding the backend says what to install."""

import sys

import pytest

from treesmith.backends.btrfs import binding
from treesmith.errors import Error


class Broken:
    """As a binding behaves that was built for a newer libbtrfsutil."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "btrfsutil":
            raise OSError("undefined symbol: btrfs_util_subvolume_is_valid")


@pytest.mark.parametrize("why", ["missing", "broken"])
def test_what_to_install(why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if why == "missing":
        monkeypatch.setitem(sys.modules, "btrfsutil", None)
    else:
        monkeypatch.delitem(sys.modules, "btrfsutil", raising=False)
        monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(Error) as caught:
        binding()
    assert "treesmith[btrfs]" in caught.value.hint
    assert why != "broken" or "undefined symbol" in caught.value.details
