"""Private networks: containers on a bridge of the host's, which it hides behind its own address."""

from treesmith.launch.network.lease import Lease, recover, take

__all__ = ["Lease", "recover", "take"]
