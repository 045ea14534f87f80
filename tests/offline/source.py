"""A source package, greet, and what it takes to build it: of this machine's programs, without a compiler."""

import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

from offline import borrow
from offline.deb import Package
from offline.debian import Debian

_RULES = """\
#!/usr/bin/make -f
build build-arch build-indep: greet
greet:
\ttool <greet.in >greet
\tif ls /sys/class/net | grep -v lo; then false; fi
\tid -un >builder
clean:
\trm -f greet builder
binary-indep:
binary-arch: build
\trm -rf debian/greet debian/greet-doc
\tmkdir -p debian/greet/DEBIAN debian/greet/usr/bin debian/greet/usr/share/greet
\tinstall -m 755 greet debian/greet/usr/bin/greet
\tcp builder debian/greet/usr/share/greet
\techo "$$DEB_BUILD_OPTIONS;$$DEB_BUILD_PROFILES" >debian/greet/usr/share/greet/options
\tchown 5:8 debian/greet/usr/share/greet/options
\tdpkg-gencontrol -pgreet -Pdebian/greet
\tdpkg-deb --build debian/greet ..
ifeq (,$(filter nodoc,$(DEB_BUILD_PROFILES)))
\tmkdir -p debian/greet-doc/DEBIAN
\tdpkg-gencontrol -pgreet-doc -Pdebian/greet-doc
\tdpkg-deb --build debian/greet-doc ..
endif
binary: binary-indep binary-arch
"""
_CONTROL = """\
Source: greet
Section: misc
Priority: optional
Maintainer: nobody <nobody@example.invalid>
Build-Depends: {depends}
Standards-Version: 4.6.2

Package: greet
Architecture: any
Depends: hello
Description: greets

Package: greet-doc
Architecture: all
Build-Profiles: <!nodoc>
Depends: greet (= ${{binary:Version}})
Description: greets
"""
_CHANGELOG = """\
greet (1:1.2-1) bookworm; urgency=medium

  * First.

 -- nobody <nobody@example.invalid>  Tue, 14 Nov 2023 22:13:20 +0000
"""
PATCH = """\
--- a/greet.in
+++ b/greet.in
@@ -1,2 +1,2 @@
 #!/bin/sh
-echo hello from WHO
+echo patched, from WHO
"""


def source(folder: Path, changed: Mapping[str, str] = {}, depends: str = "tool <!nocheck>, tool") -> Path:
    """The .dsc in `folder`, its files beside it; the unpacked source is in greet-1.2. changed: other contents."""
    top = folder / "greet-1.2"
    files = {
        "greet.in": "#!/bin/sh\necho hello from WHO\n", "debian/rules": _RULES, "debian/changelog": _CHANGELOG,
        "debian/control": _CONTROL.format(depends=depends), "debian/source/format": "3.0 (quilt)\n", **changed,
    }  # fmt: skip
    for name, text in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    (top / "debian/rules").chmod(0o755)
    with tarfile.open(folder / "greet_1.2.orig.tar.gz", "w:gz") as tar:
        tar.add(top / "greet.in", "greet-1.2/greet.in")
    subprocess.run(["dpkg-source", "--build", "greet-1.2"], cwd=folder, check=True, capture_output=True)
    return folder / "greet_1.2-1.dsc"


def tools() -> list[Package]:
    """What it takes to build it."""
    tool = Package("tool", fields={"Depends": "busybox"})
    tool.add("usr/bin/tool", "#!/bin/sh\nsed s/WHO/package/\n", 0o755)
    return [borrow.build_essential(), borrow.fakeroot(), Package("gpgv"), tool]


def publish(debian: Debian, dsc: Path, *more: Package) -> None:
    """Into a copy, with the tools; only for one of the test's own."""
    for path in dsc.parent.glob("greet_*"):
        (debian.folder / "pool").mkdir(exist_ok=True)
        (debian.folder / "pool" / path.name).write_bytes(path.read_bytes())
    debian.publish(*tools(), *more)
