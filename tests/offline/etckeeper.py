"""etckeeper, as Debian's package has it, with this machine's git and what else it calls, as a tar archive."""

import fcntl
import shutil
import subprocess
import tempfile
from pathlib import Path

from offline import deb
from offline.debian import CACHE

PROGRAMS = """
cat cut diff find git grep hostname mktemp ps sed sort stat uniq whoami xargs
"""


def etckeeper() -> bytes | None:
    """None: apt knows no such package here. It is not installed, which would make this machine's own /etc a
    repository.
    """
    folder = _package()
    if not folder:
        return None
    package = deb.Package("borrowed", folders={"var/cache/etckeeper": 0o755})
    programs = [str(Path(shutil.which(name) or name).resolve()) for name in PROGRAMS.split()]
    for place, path in deb.libraries(programs).items():
        package.take(path, place)
    for program in programs:
        package.take(program)
    package.add("etc/adjtime", "")  # it ignores that; where nothing is ignored it writes paths in another way
    package.take_folder(Path("/usr/share/git-core/templates"))
    for path in (path for name in ("etc", "usr/bin") for path in (folder / name).rglob("*") if path.is_file()):
        package.take(path, str(path.relative_to(folder)))
    return deb.contents(package)


def _package() -> Path | None:
    """What is in it, fetched once."""
    home = CACHE / "package-etckeeper"
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "package.lock", "w") as lock, tempfile.TemporaryDirectory(dir=CACHE) as making:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.exists():
            if subprocess.run(["apt-get", "-qq", "download", "etckeeper"], cwd=making, check=False).returncode:
                return None
            archive = next(Path(making).glob("*.deb"))
            subprocess.run(["dpkg-deb", "--extract", str(archive), f"{making}/root"], check=True)
            Path(making, "root").rename(home)
    return home
