# For the scripts beside it. Sourced: the caller has set -eu.

here=$(cd "$(dirname "$0")/.." && pwd)

say() { echo "==> $*"; }

[ "$(id -u)" = 0 ] || { echo "$0: needs root: it installs packages, mounts and makes user namespaces. Try: sudo $0" >&2; exit 1; }

# Debian's own interpreter where there is one: version managers put slow wrappers on the PATH.
python=/usr/bin/python3
[ -x "$python" ] || python=$(command -v python3) || { echo "$0: no python3" >&2; exit 1; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$0: $python is older than 3.11" >&2; exit 1; }

# Install those of the named Debian packages that are missing.
packages() {
    missing=
    for name in "$@"; do
        dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing="$missing $name"
    done
    [ "$missing" ] || return 0
    say "installing$missing"
    export DEBIAN_FRONTEND=noninteractive
    apt-get -o DPkg::Lock::Timeout=300 -qq update
    # shellcheck disable=SC2086  # a list
    apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 -qq install -y --no-install-recommends $missing >/dev/null
}

# A virtual environment at $1 with what the rest names; made again when pyproject.toml or the interpreter changes.
venv() {
    directory=$1; shift
    key=$({ cat "$here/pyproject.toml"; "$python" -VV; echo "$here $*"; } | sha256sum)
    [ "$(cat "$directory/key" 2>/dev/null)" = "$key" ] && return 0
    say "preparing $directory"
    rm -rf "$directory"
    "$python" -m venv "$directory"
    # pip before 24 writes console scripts that import re: 6 ms at each start.
    "$directory/bin/pip" -q --disable-pip-version-check install -U 'pip>=24'
    "$directory/bin/pip" -q --disable-pip-version-check install "$@"
    # It has a part that every start of the interpreter imports, and nobody here needs it.
    "$directory/bin/pip" -q --disable-pip-version-check uninstall -y setuptools
    echo "$key" > "$directory/key"
}

# treesmith itself into the virtual environment $1, with the extra $2 ("" or "[btrfs]"). The command is not pip's: it is
# isolated (-I: nothing of the caller's environment or folder is imported) and does not look for what sites add (-S: a
# millisecond of each start).
deploy() {
    "$1/bin/pip" -q --disable-pip-version-check install --force-reinstall --no-deps "$here"
    "$1/bin/pip" -q --disable-pip-version-check install "$here$2"
    cat > "$1/bin/treesmith" <<EOF
#!$1/bin/python -IS
import sys

sys.path.append("$("$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')")
from treesmith.__main__ import main

main()
EOF
}
