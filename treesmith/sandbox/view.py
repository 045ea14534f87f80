"""A root as a sandbox is handed it. Only read by type checkers: a hot verb cannot pay for `typing`."""

from typing import Protocol


class View(Protocol):
    """An open root. It holds detached mounts, made before the container's process is, and no lock.

    Either `idmap` in the parent after the clone and then `attach` in the child, or `mount` alone; once.
    """

    def idmap(self, userns: int) -> None:
        """In the PARENT, after the clone: map the ids of every layer by `userns`. Ids on disk never shift."""

    def attach(self, scratch: int) -> int:
        """In the CHILD, inside the user namespace: the root as a mount's descriptor, which is the caller's now.

        `scratch` is a tmpfs that is attached in the child's mount namespace and that nobody else uses; layers
        may be attached below it first, and the working directory may change. The result may be detached or attached
        below `scratch`.
        """

    def mount(self) -> int:
        """In a privileged process, unmapped: a detached mount of the root, nosuid and nodev, ids as on disk.

        The descriptor is the caller's now, and O_PATH as all mounts' are: os.open(".", ..., dir_fd=it) to list it.
        """

    def close(self) -> None:
        """Close what is still open. Again is harmless."""
