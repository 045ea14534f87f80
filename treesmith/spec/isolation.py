"""What shuts a launch in, where that is not namespaces of everything, user ids included."""

import treesmith
from treesmith.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from treesmith.spec import Spec


def loosen(spec: "Spec", isolation: str, private_users: str, asked: "dict[str, object]") -> None:
    """asked: what was typed, by option, where it may not go with either. UsageError: it does not, or makes no sense."""
    if private_users not in ("", "yes", "no"):
        raise UsageError(f"--private-users {private_users}: not understood", "there are: yes (the default), no")
    if isolation not in ("", "namespaces", "chroot"):
        raise UsageError(
            f"--isolation {isolation}: there is no such isolation", "there are: namespaces (the default), chroot"
        )
    if isolation == "chroot":
        _chroot(spec, private_users, asked)
    elif private_users == "no":
        option = "--private-users no"
        _refuse(option, "what it allows would count for the host", asked, "boot", "--cap-add")
        if not spec.filtered:
            raise UsageError(f"--seccomp off and {option} exclude each other", "too little would hold the host's root")
        _without_ids(spec, option)


def _chroot(spec: "Spec", private_users: str, asked: "dict[str, object]") -> None:
    option = "--isolation chroot"
    _refuse(option, "a plain user without capabilities runs there", asked, "boot", "--cap-add")
    if asked["--network"] != "host":
        _refuse(option, "the network is the host's", asked, "--network")
    _refuse(option, "the host name is the host's", asked, "--hostname")
    if private_users == "yes":
        raise UsageError(f"--private-users yes and {option} exclude each other", "ids in a chroot are the host's")
    if not spec.user or spec.user.partition(":")[0] in ("root", "0"):
        raise UsageError(f"{option} takes a user", "root leaves a chroot as it likes", "--user USER, who is not root")
    _without_ids(spec, option)
    spec.chroot, spec.network, spec.ports, spec.capabilities = True, "host", (), frozenset()


def _refuse(option: str, why: str, asked: "dict[str, object]", *others: str) -> None:
    for other in others:
        if asked[other]:
            name = "a boot" if other == "boot" else other
            raise UsageError(f"{name} and {option} exclude each other", why)


def _without_ids(spec: "Spec", option: str) -> None:
    if treesmith.ROOTLESS:
        raise UsageError(f"{option} takes root", "without root there is nothing but user namespaces")
    bind = next((bind for bind in spec.binds if not bind.idmap), None)
    if bind:
        why = f"ids inside are the host's, and so {bind.source} cannot be nobody's"
        raise UsageError(f"noidmap and {option} exclude each other", why, "ro, for what is not to be written")
    spec.private_users = False
