"""This machine's programs for a tree that is to have them, with what they are linked with, as a tar archive."""

import platform
from collections.abc import Iterable, Mapping
from pathlib import Path

from offline import deb

MULTIARCH = Path(f"/usr/lib/{platform.machine()}-linux-gnu")


def borrow(
    programs: Iterable[str],
    folders: Iterable[Path] = (),
    links: Mapping[str, str] | None = None,
    leave_out: Iterable[str] = (),
) -> bytes:
    """Programs and folders go to where they are here; links: of paths in the tree to their targets."""
    package = deb.Package("borrowed", links=dict(links or {}), folders={"usr/local/bin": 0o755})
    libraries = [str(path) for folder in folders for path in folder.rglob("*.so")]
    for place, path in deb.libraries([*programs, *libraries]).items():
        package.take(path, place)
    for program in programs:
        package.take(program)
    for folder in folders:
        package.take_folder(folder, leave_out)
    return deb.contents(package)


def ruby() -> bytes:
    """Ruby with its gem."""
    program = Path("/usr/bin/ruby").resolve()
    gem = Path("/usr/bin/gem").resolve()
    folders = [Path("/usr/lib/ruby"), MULTIARCH / "ruby", Path("/usr/share/rubygems-integration")]
    links = {"usr/bin/ruby": program.name}
    if gem.name != "gem":
        links["usr/bin/gem"] = gem.name
    there = [folder for folder in folders if folder.is_dir()]
    return borrow([str(program), str(gem)], there, links)


def perl() -> bytes:
    """Perl with cpan and cpanm, and what those call."""
    own = [MULTIARCH / name for name in ("perl", "perl-base", "perl5")]
    folders = [Path("/usr/share/perl"), Path("/usr/share/perl5"), Path("/etc/perl"), *own]
    there = [folder for folder in folders if folder.is_dir()]
    programs = [f"/usr/bin/{name}" for name in ("perl", "cpan", "cpanm", "make", "gzip")]
    return borrow(programs, there, {}, ["pod", "*.pod"])


def builders() -> bytes:
    """make, and checkinstall with what it calls; the perl of its dpkg-architecture is `perl`'s."""
    names = """
        awk basename bash cat chmod cp cut dpkg-architecture du egrep file getopt grep head ls make mkdir mktemp mv rm
        sed sort tr uname uniq wc which checkinstall installwatch
    """
    programs = [str(Path("/usr/bin", name).resolve()) for name in names.split()]
    links = {
        f"usr/bin/{name}": path for name, path in zip(names.split(), programs, strict=True) if Path(path).name != name
    }
    folders = [Path("/usr/lib/checkinstall"), Path("/usr/lib/file")]
    return borrow([*programs, "/etc/checkinstallrc"], folders, links)
