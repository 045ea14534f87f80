"""etckeeper(8) in a tree: its /etc as a git repository, to which steps and launches commit what they changed.

The tree's own etckeeper and git do all of it, in a sandbox without a network, for what lies in /etc/.git is run by git:
hooks, and programs that its configuration names.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = "treesmith"  # the author; what he commits last is where a step began
NEEDED = """
for program in git etckeeper; do
    command -v $program >/dev/null || { echo "the tree has no $program"; exit 1; }
done
cd /etc
"""
# A launch lays them over the tree's: what commits meanwhile must not take them for its own. Here they are the tree's.
_LAID = "hosts localtime resolv.conf"
_INIT = f"""{NEEDED}
etckeeper init
[ -d .git ] || {{ echo "etckeeper.conf of the tree does not say VCS=git"; exit 1; }}
if [ "$(git log --format=%s 2>&1)" = "Initial commit" ]; then git update-ref -d HEAD; fi
"""
_COMMIT = f"""{NEEDED}
[ -d .git ] || {{ echo "the tree has no /etc/.git"; exit 1; }}
how=$1 message=$2 more= collect=670
find .git -type f -name '*.lock' -exec rm -f {{}} +
if [ $how != launch ]; then
    collect=0
    began=$(git rev-list --max-count=1 --author='^{NAME} <' HEAD 2>/dev/null || :)
    if [ "$began" ] && [ "$began" != "$(git rev-parse HEAD)" ]; then
        more=$(git log --reverse --format=%B "$began..HEAD")
        git update-ref HEAD "$began"
    fi
fi
git update-index -q --refresh >/dev/null || :
for name in {_LAID}; do
    grep -qsx "/$name" .git/info/exclude || {{ mkdir -p .git/info; echo "/$name" >>.git/info/exclude; }}
    [ ! -e $name ] && [ ! -L $name ] || git add --force $name
done
etckeeper pre-commit
git add --all .
if [ $how = first ] || ! git diff --cached --quiet; then
    printf '%s\\n\\n%s\\n' "$message" "$more" |
        git -c gc.auto=$collect -c gc.autoDetach=false commit --quiet --allow-empty --no-verify --no-gpg-sign --file=-
fi
if [ $how != launch ]; then
    rm -f .git/index
    git read-tree HEAD
    git reflog expire --expire=now --all
    git prune --expire=now
fi
"""
_LONGEST = 100  # characters of a message


def init_argv() -> "list[str]":
    """For a sandbox on a tree: make /etc a repository. Its package's own first commit is undone, for ours."""
    return ["/bin/sh", "-e", "-c", _INIT]


def commit_argv(how: str, message: str) -> "list[str]":
    """For a sandbox on a tree: commit what has changed in its /etc, if anything has.

    how: "launch"; "step": one commit, of what etckeeper has committed meanwhile, too; "first": also if nothing has.
    """
    return ["/bin/sh", "-e", "-c", _COMMIT, "sh", how, message]


def environment(epoch: "int | None" = None) -> "dict[str, str]":
    """Who commits. epoch: when, in unix seconds; None: now."""
    env = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in _WHO.items()}
    return {**env, **(dates(epoch) if epoch is not None else {})}


_WHO = {"NAME": NAME, "EMAIL": f"{NAME}@localhost"}


def dates(epoch: int) -> "dict[str, str]":
    """The time of whatever git commits."""
    return {f"GIT_{who}_DATE": f"@{epoch} +0000" for who in ("AUTHOR", "COMMITTER")}


def message(command: "Sequence[str]") -> str:
    """A command as the message of a commit: one line, of what can be seen."""
    line = " ".join("".join(mark if mark.isprintable() else " " for mark in word) for word in command).strip()
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} …"
