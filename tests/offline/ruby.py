"""Gems, and a folder that gem takes for a source of them: guides.rubygems.org, "run your own gem server"."""

import subprocess
from pathlib import Path

_INDEX = """
require "rubygems/package"
require "zlib"
specs = Dir["src/*"].sort.map do |folder|
  Dir.chdir(folder) do
    spec = Gem::Specification.load(File.expand_path(Dir["*.gemspec"].first))
    File.rename(Gem::Package.build(spec), "../../gems/#{spec.file_name}")
    spec
  end
end
listed = specs.map { |spec| [spec.name, spec.version, "ruby"] }
{ "specs" => listed, "latest_specs" => listed, "prerelease_specs" => [] }.each do |name, list|
  File.binwrite("#{name}.4.8.gz", Gem::Util.gzip(Marshal.dump(list)))
end
specs.each do |spec|
  File.binwrite("quick/Marshal.4.8/#{spec.full_name}.gemspec.rz", Zlib::Deflate.deflate(Marshal.dump(spec)))
end
"""


def gem(folder: Path, name: str, version: str, code: str = "", needs: tuple[str, ...] = (), extconf: str = "") -> None:
    """The source of a gem with one module and one program, both of `code`."""
    source = folder / "src" / f"{name}-{version}"
    for place, text in (
        (f"lib/{name}.rb", code),
        (f"bin/{name}", f"#!/usr/bin/env ruby\n{code}"),
        ("extconf.rb", extconf),
    ):
        (source / place).parent.mkdir(parents=True, exist_ok=True)
        (source / place).write_text(text)
    (source / f"bin/{name}").chmod(0o755)
    lines = [
        f's.name = "{name}"; s.version = "{version}"; s.summary = "test"; s.authors = ["test"]',
        f's.files = ["lib/{name}.rb", "bin/{name}", "extconf.rb"]; s.executables = ["{name}"]; s.bindir = "bin"',
        *(f's.add_dependency "{one}"' for one in needs),
        *(['s.extensions = ["extconf.rb"]'] if extconf else []),
    ]
    text = "Gem::Specification.new do |s|\n" + "\n".join(lines) + "\nend\n"
    (source / f"{name}.gemspec").write_text(text)


def index(folder: Path) -> Path:
    """Build the gems of `folder` and the index of them."""
    for name in ("gems", "quick/Marshal.4.8"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    subprocess.run(["/usr/bin/ruby", "-e", _INDEX], cwd=folder, capture_output=True, check=True)
    return folder
