"""What a step is given to work with while it runs. `build` makes it; nothing else of the host is in a step's reach."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from treesmith.sandbox.sandbox import Bind

# A tmpfs in every step: what a step needs only while it runs is laid or mounted below here, so that the tree keeps no
# trace of it, mount points included.
PASSING = "/run/treesmith"


class Room(Protocol):
    """One step's. Its env, network and secrets are applied by the room to every program it starts.

    With a network, what `network.outfit` says comes along: the proxies and certificates of treesmith's caller.
    Of a locked step they have no network, unless its kind checks what came of it, and what `settle.environment` says.
    Programs' stdout and stderr go to the step's log. /run is a tmpfs for them all. A program that does not end with 0
    is an Error with its last lines.
    """

    arch: str  # the kernel's word: x86_64, aarch64
    caller: Mapping[str, str]  # the environment of treesmith's caller: registries, proxies; in no key
    made: Sequence[Mapping[str, Any]]  # what run() of the steps below returned, the chain's first step first

    def inside(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] = {},
        binds: Sequence[Bind] = (),
        files: Sequence[tuple[str, bytes]] = (),
        user: str = "",
        chdir: str = "/",
        what: str = "",
        alone: bool = False,
    ) -> None:
        """Run a program in the tree. `files` are read-only and laid over paths: see `Sandbox`. `what` names it in an
        error, else its argv does. alone: without a network, though the step has one.
        """

    def outside(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] = {},
        binds: Sequence[Bind] = (),
        files: Sequence[tuple[str, bytes]] = (),
        mounts: bool = False,
        what: str = "",
        alarms: Sequence[str] = (),
    ) -> None:
        """Run a host's program in `sandbox.tools`, the tree at /target. A line of its output with one of `alarms` in it
        means that it failed, though it ends with 0.

        The tree has /proc, /sys and /dev there; or, with `mounts`, it is bare and the program may mount them itself.
        """

    def ask(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] = {},
        binds: Sequence[Bind] = (),
        files: Sequence[tuple[str, bytes]] = (),
    ) -> str:
        """What a program in the tree prints on stdout, run without a network: what is installed, mostly."""

    def root(self) -> AbstractContextManager[int]:
        """The tree's root, unmapped (ids as on disk), as a descriptor. No program runs while it is open: an overlay's
        upper may be mounted once. The tree's links are not to be trusted: reach paths below it through `archive`.
        """

    def aside(self) -> "AbstractContextManager[Room]":
        """A room of the same step on a throw-away copy of the tree as the step found it: for what is needed only to
        make what the tree gets. All of it is gone when the block ends.
        """

    def host(self, argv: Sequence[str]) -> bytes:
        """What a host's program says on its stdout, run as the caller and in no sandbox; its stderr goes to the log.

        Only for a program that needs the caller's own credentials and sockets, and writes nothing but what it is told.
        """

    def stack(self, keys: Sequence[str], lay: Callable[[int], None]) -> None:
        """Fill the empty tree in several goes, each of which is a step tree of its own, shared by all who need it.

        keys: what the tree is after each go, whatever the recipe (inputs.key_of). lay(n) does the nth, from 0; those
        whose tree the store has are not done again. Afterwards the step goes on in a fork of the last one.
        """

    def cache(self, name: str) -> str:
        """A host folder that outlives the build, locked until the step ends.

        What programs inside may write to is shared by trust: between those alone who could harm one another anyway.
        """

    def say(self, text: str) -> None:
        """A line for the person who waits, and for the log."""
