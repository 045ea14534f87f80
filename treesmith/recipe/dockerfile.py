"""A Dockerfile -> a recipe that makes the same, or an error with the line of what it cannot make.

BuildKit's own parser reads it. What the image says of itself is put together as Docker would, and read as an image's
configuration is; what differs from the base's becomes [launch]. The recipe's place is beside the Dockerfile, whose
folder is the context.
"""

import glob
import os
import posixpath
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, Protocol

from treesmith.errors import Error, UsageError
from treesmith.recipe.grammar import ARCHITECTURES, Settings, parse
from treesmith.recipe.search import Found
from treesmith.recipe.words import escape, expand
from treesmith.recipe.written import table, value
from treesmith.steps import image
from treesmith.steps.ignored import Ignored
from treesmith.steps.oci import TRANSPORTS

Ask = Callable[[str], Mapping[str, Any]]  # an image's name, as an oci step has it -> its configuration

_INSTEAD = {
    "HEALTHCHECK": "leave it out: nothing asks for it here",
    "MAINTAINER": 'LABEL org.opencontainers.image.authors="…"',
    "ONBUILD": "write it into the Dockerfiles that are FROM this one",
    "VOLUME": "leave it out: launch --bind SRC:DST keeps data outside the tree",
}
_FETCH = "fetch it yourself and name the file, or fetch it in a RUN"
_SHELL = ("/bin/sh", "-c")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY")  # which come along with a network
_HEREDOC = re.compile(r"<<-?\s*([\"']?)\w+\1")
_PORT = re.compile(r"[0-9]{1,5}(/(tcp|udp))?", re.IGNORECASE | re.ASCII)
_MODE = re.compile(r"[0-7]{3,4}")


class Command(Protocol):
    """As `dockerfile` has it."""

    cmd: str
    json: bool
    start_line: int
    flags: tuple[str, ...]
    value: tuple[str, ...]
    heredocs: tuple[Any, ...]


def convert(path: str, text: str, ask: Ask) -> str:
    """The recipe's text. UsageError, with file and line: it asks for what a recipe cannot do."""
    made = _Conversion(path, text, ask).recipe(_parsed(path, text))
    parse(made, Found("dockerfile", path), Settings())
    return made


def _parsed(path: str, text: str) -> Sequence[Command]:
    try:
        import dockerfile
    except ImportError:
        raise Error(
            "Dockerfiles are read by the Python module dockerfile, which is not installed",
            hint="pip install 'treesmith[dockerfile]'",
        ) from None
    try:
        found: Sequence[Command] = dockerfile.parse_string(text)
    except ValueError as error:
        raise UsageError(f"{path}: not a Dockerfile", str(error)) from None
    return found


class _Conversion:
    def __init__(self, path: str, text: str, ask: Ask) -> None:
        self.path, self.ask = path, ask
        self.folder = os.path.dirname(os.path.abspath(path))
        self.escape = escape(text)
        self.ignore = next((name for name in self._ignores() if os.path.isfile(f"{self.folder}/{name}")), "")
        self.here: Command | None = None  # what is being converted
        machine = os.uname().machine
        platform = next(
            (word for word, kernel in ARCHITECTURES.items() if kernel == machine and word != kernel), machine
        )
        self.given = {
            f"{whose}{what}": said
            for whose in ("TARGET", "BUILD")
            for what, said in (("PLATFORM", f"linux/{platform}"), ("OS", "linux"), ("ARCH", platform))
        }
        self.arguments: dict[str, str] = {}
        self.environment: dict[str, str] = {}
        self.base: Mapping[str, Any] = {}  # "config" of the base's configuration
        self.config: dict[str, Any] = {}
        self.labels: list[tuple[str, str]] = []
        self.top: dict[str, str] = {}
        self.steps: list[str] = []
        self.begun = False
        self.has_command = False

    def _ignores(self) -> tuple[str, str]:
        return f"{os.path.basename(self.path)}.dockerignore", ".dockerignore"

    def fail(self, message: str, details: str = "", hint: str = "") -> NoReturn:
        line = self.here.start_line if self.here else 1
        raise UsageError(f"{self.path}:{line}: {message}", details, hint)

    def recipe(self, commands: Sequence[Command]) -> str:
        for command in commands:
            self.here = command
            name = command.cmd.upper()
            convert = getattr(self, f"do_{name.lower()}", None)
            if name == "HEALTHCHECK" and command.value == ("NONE",):
                continue
            if convert is None:
                self.fail(f"{name} is not for a recipe", hint=_INSTEAD.get(name, "is it misspelt?"))
            if not self.begun and name not in ("FROM", "ARG"):
                self.fail(f"{name} before FROM")
            if not command.value and not command.json:
                self.fail(f"{name} of nothing")
            if command.heredocs and name != "RUN":
                self.fail(f"{name} of a text that stands here", hint="put it into a file beside the Dockerfile")
            convert(*command.value)
        if not self.steps:
            self.fail("it makes nothing")
        lines = [f"# From {os.path.basename(self.path)}: keep it in the same folder."]
        lines += [f"# {name}: {said}".replace("\n", " ") for name, said in self.labels]
        lines += [f"{key} = {value(said)}" for key, said in self.top.items()]
        return "\n".join([*lines, "", *self.steps, *self._launch()])

    # What a step says

    def step(self, kind: str, main: object, **keys: object) -> None:
        assert self.here
        name = {"name": f"{self.here.cmd.upper()}, line {self.here.start_line}"}
        if kind not in ("oci", "copy", "tar") and not self.steps:
            self.fail("there is nothing to run it in", hint="FROM an image, or COPY or ADD a root first")
        self.steps.append(table("[[step]]", {**name, **keys, kind: main}))

    def word(self, text: str) -> str:
        try:
            return expand(text, {**self.arguments, **self.environment}, self.escape)
        except ValueError as error:
            self.fail("not understood", str(error))

    def flags(self, *known: str) -> dict[str, str]:
        assert self.here
        found = {}
        for flag in self.here.flags:
            name, _, said = flag.removeprefix("--").partition("=")
            if name not in known:
                self.fail(f"{self.here.cmd.upper()} --{name} is not for a recipe", hint=_hint(name))
            found[name] = self.word(said)
        return found

    def place(self, path: str) -> str:
        """A path in the tree, from where we are."""
        return posixpath.normpath(posixpath.join("/", str(self.config.get("WorkingDir") or "/"), path))

    # The instructions, by name

    def do_from(self, name: str, *more: str) -> None:
        if self.begun:
            self.fail("a second stage", hint="make a recipe of each; what COPY --from takes, make or fetch in this one")
        if more and (len(more) != 2 or more[0].lower() != "as"):
            self.fail("not understood", " ".join((name, *more)))
        self.begun = True
        self.arguments |= self.given
        platform = self.flags("platform").get("platform", "")
        name = self.word(name)
        self.arguments, self.given = {}, {**self.given, **self.arguments}
        if platform:
            machine = ARCHITECTURES.get(platform.removeprefix("linux/").partition("/")[0])
            if not machine or not platform.startswith("linux/"):
                self.fail(f"no platform {platform}")
            if machine != os.uname().machine:
                self.top["arch"] = machine
        if name == "scratch":
            return
        transport, _, rest = name.partition(":")
        wanted = name if transport in TRANSPORTS else f"docker://{name}"
        local = transport in ("oci", "docker-archive")
        try:
            asked = f"{transport}:{os.path.join(self.folder, rest)}" if local else wanted
            self.base = self.ask(asked).get("config") or {}
        except Error as error:
            self.fail(f"{name} cannot be asked what it is", str(error), "its environment and user are needed")
        if self.base.get("OnBuild"):
            self.fail(f"{name} has instructions of its own for who is FROM it", "\n".join(self.base["OnBuild"]))
        self.config = dict(self.base)
        self.environment = {
            variable: said for variable, _, said in (pair.partition("=") for pair in self.base.get("Env") or ())
        }
        self.step("oci", _braced(wanted))

    def do_arg(self, *pairs: str) -> None:
        for pair in pairs:
            name, mark, said = pair.partition("=")
            if mark:
                self.arguments[name] = self.word(said)
            elif name in self.given:
                self.arguments[name] = self.given[name]
            elif name.upper() not in _PROXIES:
                self.fail(f"ARG {name} has no default", hint=f"ARG {name}=VALUE")

    def do_env(self, *words: str) -> None:
        self.environment |= dict(self.pairs(words))
        self.config["Env"] = [f"{name}={said}" for name, said in self.environment.items()]

    def do_label(self, *words: str) -> None:
        for name, said in self.pairs(words):
            if name in ("description", "org.opencontainers.image.description"):
                self.top["description"] = said
            else:
                self.labels.append((name, said))

    def pairs(self, words: Sequence[str]) -> list[tuple[str, str]]:
        return [(self.word(name), self.word(said)) for name, said in zip(words[::2], words[1::2], strict=True)]

    def do_workdir(self, path: str) -> None:
        self.config["WorkingDir"] = self.place(self.word(path))
        self.step("run", ["mkdir", "-p", self.config["WorkingDir"]])

    def do_user(self, user: str) -> None:
        self.config["User"] = self.word(user)

    def do_shell(self, *words: str) -> None:
        assert self.here
        if not self.here.json or not words:
            self.fail("SHELL is a list", hint='SHELL ["/bin/sh", "-c"]')
        self.config["Shell"] = list(words)

    def do_stopsignal(self, name: str) -> None:
        self.config["StopSignal"] = said = self.word(name)
        if "stop-signal" not in image.launch({"config": {"StopSignal": said}}):
            self.fail(f"no signal {said}")

    def do_expose(self, *words: str) -> None:
        ports = [port for word in words for port in self.word(word).split()]
        for port in ports:
            if not _PORT.fullmatch(port) or not 0 < int(port.partition("/")[0]) < 65536:
                self.fail(f"{port} is no port", hint="name each: EXPOSE 80 53/udp")
        exposed = {**(self.config.get("ExposedPorts") or {}), **{port.lower(): {} for port in ports}}
        self.config["ExposedPorts"] = dict(sorted(exposed.items()))  # as every image has them

    def do_cmd(self, *words: str) -> None:
        self.config["Cmd"] = self.command(words)
        self.has_command = True

    def do_entrypoint(self, *words: str) -> None:
        self.config["Entrypoint"] = self.command(words)
        if not self.has_command:  # the base's was meant for the base's entrypoint
            self.config["Cmd"] = []

    def command(self, words: Sequence[str]) -> list[str]:
        assert self.here
        return list(words) if self.here.json else [*(self.config.get("Shell") or _SHELL), *words]

    def do_run(self, *words: str) -> None:
        assert self.here
        network, secrets = True, []
        for flag in self.here.flags:
            name, _, said = flag.removeprefix("--").partition("=")
            if name == "network" and said in ("default", "host", "none"):
                network = said != "none"
            elif name == "mount" and (secret := _secret(said)):
                secrets.append(secret)
            elif flag != "--security=sandbox":
                self.fail(f"RUN {flag} is not for a recipe", hint=_hint(name))
        command = self.command([self.script(words[0])] if self.here.heredocs else words)
        known = {**self.arguments, **self.environment}
        env = {name: _braced(said) for name, said in known.items() if name.isascii() and name.isidentifier()}
        keys: dict[str, object] = {"network": network}
        if env:
            keys["env"] = env
        if secrets:
            keys["secrets"] = secrets
        options = {"user": str(self.config.get("User") or ""), "chdir": self.place("")}
        options = {name: said for name, said in options.items() if said not in ("", "/")}
        self.step("run", {"command": command, **options} if options else command, **keys)

    def script(self, line: str) -> str:
        """What the shell gets of a RUN with texts: its line and the texts, or the only one, if it is the whole line."""
        assert self.here
        first = str(self.here.heredocs[0].content)
        if _HEREDOC.fullmatch(line.strip()):
            lines = first.splitlines(keepends=True)
            text = "".join(part.lstrip("\t") for part in lines) if line.strip().startswith("<<-") else first
            if text.startswith("#!"):
                self.fail("a script that is not for the shell", hint="put it into a file, COPY it, and RUN that")
            return text
        return "\n".join([line, *(f"{text.content}{text.name}" for text in self.here.heredocs), ""])

    def do_copy(self, *words: str) -> None:
        self.copy(words, unpacks=False)

    def do_add(self, *words: str) -> None:
        self.copy(words, unpacks=True)

    def copy(self, words: Sequence[str], unpacks: bool) -> None:
        assert self.here
        name = self.here.cmd.upper()
        flags = self.flags("chown", "chmod", "link")
        *given, to = map(self.word, words)
        if not given:
            self.fail(f"{name} needs a source and a place")
        if any("://" in one or one.startswith("git@") for one in given):
            self.fail(f"{name} fetches something", hint=_FETCH)
        sources = [source for one in given for source in self.sources(one)]
        into = to.endswith(("/", "/.")) or to == "." or len(sources) > 1
        owner, mode = flags.get("chown", ""), flags.get("chmod", "")
        if owner.isdecimal():
            owner = f"{owner}:{owner}"
        if mode and not _MODE.fullmatch(mode):
            self.fail(f"--chmod={mode} is no mode in octal")
        for source in sources:
            path = os.path.join(self.folder, source)
            if unpacks and os.path.isfile(path) and _is_archive(path):
                if owner or mode:
                    self.fail(f"{source} is unpacked: its entries have owners and modes", hint="COPY keeps it whole")
                self.step("tar", {"file": _braced(source), "to": _braced(self.place(to))})
                continue
            if mode and os.path.isdir(path):
                self.fail("--chmod of a folder", hint="RUN chmod says whether its folders are meant too")
            place = posixpath.join(to, posixpath.basename(source)) if into and not os.path.isdir(path) else to
            more = {"owner": _braced(owner), "mode": mode, "ignore": _braced(self.ignore)}
            options = {"from": _braced(source), "to": _braced(self.place(place))}
            self.step("copy", {**options, **{key: said for key, said in more.items() if said}})

    def sources(self, given: str) -> Iterator[str]:
        """Paths in the context, as a file of the recipe's folder is named."""
        wanted = posixpath.normpath(given.lstrip("/") or ".")
        if wanted == ".." or wanted.startswith("../"):
            self.fail(f"{given} is not in the Dockerfile's folder", hint="treesmith looks nowhere else")
        found = [wanted] if os.path.lexists(os.path.join(self.folder, wanted)) else []
        if not found and glob.has_magic(wanted):
            found = sorted(glob.glob(wanted, root_dir=self.folder, include_hidden=True))
        if self.ignore and found != ["."]:
            found = [path for path in found if path in self.kept(path)]
        if not found:
            self.fail(f"there is no {given} to copy", f"looked in {self.folder}")
        yield from found

    def kept(self, path: str) -> set[str]:
        below = os.path.join(self.folder, path)
        entries = [path]
        for folder, folders, files in os.walk(below):
            entries += [os.path.relpath(os.path.join(folder, name), self.folder) for name in (*folders, *files)]
        with open(os.path.join(self.folder, self.ignore), encoding="utf-8", errors="surrogateescape") as file:
            return Ignored(file.read()).kept(entries)

    # What the image says of itself

    def _launch(self) -> list[str]:
        own, base = (image.launch({"config": config}) for config in (self.config, self.base))
        if "command" in base and "command" not in own:
            self.fail("no command is left", hint="CMD says which")
        if own.get("env") and base.get("env"):
            own["env"] = {name: said for name, said in own["env"].items() if base["env"].get(name) != said}
        defaults = {key: said for key, said in own.items() if said and said != base.get(key)}
        if "chdir" in base and "chdir" not in own:
            defaults["chdir"] = "/"
        if own.get("ports"):  # nobody would reach them
            defaults["network"] = "private"
        return [table("[launch]", defaults)] if defaults else []


def _hint(flag: str) -> str:
    return {
        "from": "make what it takes in this Dockerfile; or another recipe, and copy it out of its tree",
        "mount": "only type=secret, at /run/secrets/ID; a recipe's steps keep their downloads outside the tree",
    }.get(flag, "leave it out")


def _secret(mount: str) -> str:
    """ID of --mount=type=secret,id=ID; "": it is something else."""
    said = dict(part.partition("=")[::2] for part in mount.split(","))
    name = said.get("id", "")
    target = next((said[key] for key in ("target", "dst", "destination") if key in said), f"/run/secrets/{name}")
    known = {"type", "id", "target", "dst", "destination", "required"}
    return name if said.get("type") == "secret" and set(said) <= known and target == f"/run/secrets/{name}" else ""


def _braced(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _is_archive(path: str) -> bool:
    """What ADD unpacks: by content, as Docker goes."""
    try:
        return tarfile.is_tarfile(path)
    except OSError:
        return False
