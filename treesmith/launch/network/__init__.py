"""Private networks: root's containers on a bridge that the host hides behind its own address, others' alone."""

from treesmith.launch.network.lease import Lease, recover, resolver, take

__all__ = ["Lease", "recover", "resolver", "take"]
