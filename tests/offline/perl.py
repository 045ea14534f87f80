"""A CPAN in a folder: its index of packages, as PAUSE writes it, and distributions."""

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_AUTHOR = "authors/id/T/TE/TEST"


class Module(NamedTuple):
    name: str
    version: str
    needs: tuple[str, ...] = ()
    broken: str = ""  # what its Makefile.PL dies of

    @property
    def distribution(self) -> str:
        return f"{self.name.replace('::', '-')}-{self.version}"

    def archive(self) -> bytes:
        needs = "".join(f"'{name}' => 0, " for name in self.needs)
        make = f"WriteMakefile(NAME => '{self.name}', VERSION => '{self.version}', PREREQ_PM => {{ {needs} }});"
        path = f"lib/{self.name.replace('::', '/')}.pm"
        files = {
            "Makefile.PL": f'die "{self.broken}\\n";\n' if self.broken else f"use ExtUtils::MakeMaker;\n{make}\n",
            path: f"package {self.name};\nour $VERSION = '{self.version}';\nsub said {{ 'hello from perl' }}\n1;\n",
            "MANIFEST": f"Makefile.PL\n{path}\nMANIFEST\n",
        }
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name, text in files.items():
                member = tarfile.TarInfo(f"{self.distribution}/{name}")
                member.size, member.mtime = len(text), 1_700_000_000
                tar.addfile(member, io.BytesIO(text.encode()))
        return gzip.compress(buffer.getvalue(), mtime=0)


def mirror(folder: Path, modules: Iterable[Module]) -> Path:
    author = folder / _AUTHOR
    author.mkdir(parents=True)
    (folder / "modules").mkdir()
    rows, sums = [], []
    for module in modules:
        data = module.archive()
        name = f"{module.distribution}.tar.gz"
        (author / name).write_bytes(data)
        rows.append(f"{module.name} {module.version} T/TE/TEST/{name}\n")
        digest = hashlib.sha256(data).hexdigest()
        sums.append(f"'{name}' => {{ 'sha256' => '{digest}', 'size' => {len(data)}, 'cpan_path' => 'T/TE/TEST' }},\n")
    head = "".join(
        f"{name}: {value}\n"
        for name, value in {
            "File": "02packages.details.txt", "URL": "http://www.perl.com/CPAN/modules/02packages.details.txt",
            "Description": "test", "Columns": "package name, version, path", "Intended-For": "tests",
            "Written-By": "test", "Line-Count": len(rows), "Last-Updated": "Tue, 14 Nov 2023 22:13:20 GMT",
        }.items()
    )  # fmt: skip
    files = {
        "modules/02packages.details.txt.gz": f"{head}\n{''.join(rows)}",
        "modules/03modlist.data.gz": "File: 03modlist.data\n\npackage CPAN::Modulelist;\nsub data { {} }\n1;\n",
        "authors/01mailrc.txt.gz": 'alias TEST "test <test@example.invalid>"\n',
    }
    for name, text in files.items():
        (folder / name).write_bytes(gzip.compress(text.encode(), mtime=0))
    (author / "CHECKSUMS").write_text(f"# CHECKSUMS file\n$cksum = {{\n{''.join(sums)}}};\n")
    return folder
