"""From a recipe to a tree: plan, then make what the plan says."""

from treesmith.build.make import build
from treesmith.build.outdated import Change, outdated
from treesmith.build.report import Report
from treesmith.build.scheme import lock, lock_path, plan

__all__ = ["Change", "Report", "build", "lock", "lock_path", "outdated", "plan"]
