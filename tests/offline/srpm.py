"""A source package of rpm's, greet, and what it takes to build it: of this machine's programs, without a compiler."""

import subprocess
from pathlib import Path

from offline import borrow, deb
from offline.rpm import EMPTY, HEAD, NOARCH, Fedora

_SPEC = f"""\
Name: greet
Version: 1.2
Release: 1
Summary: greets
License: MIT
Source0: greet.in
BuildRequires: %{{needs}}
Requires: hello
{NOARCH}
%package doc
Summary: greets
Requires: greet = 1.2

%description
greets

%description doc
greets

%build
tool <%{{SOURCE0}} >greet
if ls /sys/class/net | grep -v lo; then false; fi
id -u >builder
echo %{{_smp_mflags}} >options

%install
mkdir -p %{{buildroot}}/usr/bin %{{buildroot}}/usr/share/greet %{{buildroot}}/usr/share/doc
cp greet %{{buildroot}}/usr/bin/greet
cp builder options %{{buildroot}}/usr/share/greet
echo greet greets >%{{buildroot}}/usr/share/doc/greet

%files
%attr(755,root,root) /usr/bin/greet
/usr/share/greet/builder
%attr(644,daemon,mail) /usr/share/greet/options

%files doc
/usr/share/doc/greet
"""
# Another of that name; {version} is to be filled in.
THEIRS = f"""{HEAD}{NOARCH}Requires: busybox
{EMPTY}%install
mkdir -p %{{buildroot}}/usr/bin
printf '#!/bin/sh\\necho theirs\\n' >%{{buildroot}}/usr/bin/greet
%files
%attr(755,root,root) /usr/bin/greet
"""


def source(
    folder: Path, needs: str = "tool >= 1.0, (tool or nothere), (nothere if nosuch)", how: str = "", finds: str = ""
) -> Path:
    """greet-1.2-1.src.rpm in `folder`, unsigned. how: to build it, at first. finds: says what more that takes."""
    (folder / "greet.in").write_text("#!/bin/sh\necho hello from WHO\n")
    (folder / "greet.spec").write_text(
        _SPEC.replace("%{needs}", needs).replace("%build\n", f"%generate_buildrequires\n{finds}\n%build\n{how}\n")
    )
    places = {"_topdir": folder / "top", "_sourcedir": folder, "_srcrpmdir": folder}
    defines = [word for name, value in places.items() for word in ("--define", f"{name} {value}")]
    subprocess.run(["rpmbuild", "-bs", *defines, "greet.spec"], cwd=folder, check=True, capture_output=True)
    return folder / "greet-1.2-1.src.rpm"


def bring(fedora: Fedora, folder: Path) -> None:
    """What it takes to build it, into a copy. folder: for what is made meanwhile."""
    tool = deb.Package("tool")
    tool.add("usr/bin/tool", "#!/bin/sh\nsed s/WHO/package/\n", 0o755)
    rpm_build, createrepo = borrow.rpm_build(), borrow.createrepo()
    for path in {*rpm_build.files} & {*createrepo.files}:
        del createrepo.files[path]
    needs = {"tool": "busybox", "rpm-build": "busybox", "createrepo_c": "rpm-build"}
    specs = {}
    for package in (tool, rpm_build, createrepo):
        archive = folder / f"{package.name}.tar"
        archive.write_bytes(deb.contents(package))
        files = "\n".join(f"/{path}" for path in (*package.files, *package.links))
        specs[package.name] = f"""{HEAD}AutoReqProv: no
Requires: {needs[package.name]}
{EMPTY}%install
tar -C %{{buildroot}} -xf {archive}
%files
{files}
"""
    fedora.bring(specs)
