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
    return deb.contents(lend("borrowed", programs, folders, links, leave_out))


def lend(
    name: str,
    programs: Iterable[str],
    folders: Iterable[Path] = (),
    links: Mapping[str, str] | None = None,
    leave_out: Iterable[str] = (),
) -> deb.Package:
    """The same as a package."""
    package = deb.Package(name, links=dict(links or {}), folders={"usr/local/bin": 0o755})
    package.fields["Replaces"] = "apt, build-essential, busybox, dpkg, libc6"  # it may bring theirs again
    libraries = [str(path) for folder in folders for path in folder.rglob("*.so")]
    for place, path in deb.libraries([*programs, *libraries]).items():
        package.take(path, place)
    for program in programs:
        package.take(program)
    for folder in folders:
        package.take_folder(folder, leave_out)
    return package


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
    there = _perl_folders()
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


def build_essential() -> deb.Package:
    """What dpkg-buildpackage is and calls; no compiler."""
    names = """
        awk basename bash chown dpkg-architecture dpkg-buildflags dpkg-buildpackage dpkg-checkbuilddeps
        dpkg-genbuildinfo dpkg-genchanges dpkg-gencontrol dpkg-parsechangelog dpkg-source dpkg-vendor du find gunzip
        gzip install make md5sum nproc patch perl realpath sed tar touch unxz xz
    """
    programs = [f"/usr/bin/{name}" for name in names.split()]
    for_shell = [Path("/usr/share/dpkg")]
    return lend("build-essential", programs, [*_perl_folders(), *for_shell], {}, ["pod", "*.pod"])


def fakeroot() -> deb.Package:
    """With its library, which programs are told to load."""
    folder = MULTIARCH / "libfakeroot"
    package = lend("fakeroot", ["/usr/bin/fakeroot-sysv", "/usr/bin/faked-sysv", "/usr/bin/getopt"], [folder])
    package.links["usr/bin/fakeroot"] = "fakeroot-sysv"
    return package


def rpm_build() -> deb.Package:
    """rpm and rpmbuild with what they read and call; busybox stands in for the small programs."""
    folders = [Path("/usr/lib/rpm"), Path("/usr/lib/file")]
    package = lend("rpm-build", ["/usr/bin/rpm", "/usr/bin/rpmbuild"], folders)
    names = "awk chmod comm cut diff find grep gzip install mktemp mv sed sort tar tr uniq wc xargs"
    package.links |= {f"usr/bin/{name}": "busybox" for name in names.split()}
    package.links["usr/share/misc/magic.mgc"] = "../../lib/file/magic.mgc"
    package.add("etc/rpm/macros", "%__os_install_post %{nil}\n")  # it strips, and busybox has another xargs
    return package


def createrepo() -> deb.Package:
    return lend("createrepo_c", ["/usr/bin/createrepo_c"])


def _perl_folders() -> list[Path]:
    own = [MULTIARCH / name for name in ("perl", "perl-base", "perl5")]
    folders = [Path("/usr/share/perl"), Path("/usr/share/perl5"), Path("/etc/perl"), *own]
    return [folder for folder in folders if folder.is_dir()]
