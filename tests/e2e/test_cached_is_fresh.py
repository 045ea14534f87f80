"""Cached equals fresh: whatever a recipe says and whatever is edited, a build that keeps what it can makes what a build
from nothing makes, by the comparator.
"""

import os
import shutil
import tarfile
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import roots
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from offline.debian import debian, hello
from workshop import Heard

from treesmith.build import build
from treesmith.compare.differences import differences
from treesmith.compare.walk import Entry, walk
from treesmith.plan import Wish
from treesmith.store import Store, create_store
from treesmith.store.keep import Policy
from treesmith.store.prune import apply, plan

WORDS = st.sampled_from(["one", "two"])
PLACES = st.sampled_from(["base", "top"])
FILES = {"folder/x": 0o644, "folder/deep/y": 0o644, "script": 0o755, "data.tar": 0o644}
TIMES = ("var/log/", "var/cache/ldconfig/")  # programs note there when they ran
# {0} and {1} are words.
STEPS = {
    "run": 'run = "echo {0} $WORD >>/said; cat /said /srv/x >>/seen 2>/dev/null || true"\nenv = {{ WORD = "{1}" }}',
    "argv": 'run = ["/bin/mkdir", "-p", "/made/{0}/{1}"]',
    "var": 'run = "echo $WORD >>/said"\nenv = {{ WORD = "{{word}}" }}',
    "script": 'script = {{ file = "script", args = ["{0}"] }}\nenv = {{ WORD = "{{word}}" }}',
    "user": 'run = {{ command = "id -u >/tmp/{0}", user = "{user}", chdir = "/tmp" }}',
    "folder": '[step.copy]\nfrom = "folder"\nto = "/srv/{0}"\nowner = "{{owner}}"',
    "file": '[step.copy]\nfrom = "folder/x"\nto = "/file-{0}"\nmode = "0640"',
    "tar": '[step.tar]\nfile = "data.tar"\nto = "/tar-{0}"',
    "apt": 'apt = ["{0}"]',
    "strip": '[step.tar]\nfile = "data.tar"\nto = "/"\nstrip = 1',
}
ABOVE = 'from = { recipe = "./base.toml", set = { word = "{word}" } }\n'
Step = tuple[str, str, str]  # kind, and two words


class Builds(RuleBasedStateMachine):
    """A recipe on another one, edited at random. After each edit both stores must have made the same."""

    ground: Path
    user = "me"

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=self.ground))
        self.store = create_store(str(self.folder / "kept"), "overlay")
        self.steps: dict[str, list[Step]] = {"base": [], "top": []}
        self.files: dict[str, tuple[str, int]] = {name: ("first", mode) for name, mode in FILES.items()}
        self.sets = {"word": "one"}
        self.edited = True

    def first(self) -> str:
        """The step that fills an empty root."""
        if not (self.folder / "root.tar").exists():
            with tarfile.open(self.folder / "root.tar", "w") as archive:
                archive.add(roots.busybox(self.folder / "root"), ".")
        return '[step.tar]\nfile = "root.tar"'

    @initialize(kinds=st.permutations(sorted(STEPS.keys() - {"apt"})), word=WORDS)
    def begin(self, kinds: list[str], word: str) -> None:
        """With most kinds, so that every edit is one of something that counts."""
        self.steps["base"] += [(kind, word, "one") for kind in kinds[:3]]
        self.steps["top"] += [(kind, "two", word) for kind in kinds[3:7]]

    @rule(
        place=PLACES,
        kind=st.sampled_from(sorted(STEPS.keys() - {"apt"})),
        words=st.tuples(WORDS, WORDS),
        at=st.integers(0, 9),
    )
    def add(self, place: str, kind: str, words: tuple[str, str], at: int) -> None:
        self.steps[place].insert(at % (len(self.steps[place]) + 1), (kind, *words))
        self.edited = True

    @precondition(lambda self: self.steps["base"] or self.steps["top"])
    @rule(
        place=PLACES,
        at=st.integers(0, 9),
        words=st.tuples(WORDS, WORDS),
        how=st.sampled_from(["drop", "change", "move"]),
    )
    def edit(self, place: str, at: int, words: tuple[str, str], how: str) -> None:
        steps = self.steps[place] or self.steps[{"base": "top", "top": "base"}[place]]
        kind, first, second = steps.pop(at % len(steps))
        if kind != "apt":  # whose words are a package's name
            first, second = words
        if how != "drop":
            steps.insert(0 if how == "move" else at % (len(steps) + 1), (kind, first, second))
        self.edited = True

    @rule(name=st.sampled_from(sorted(FILES)), content=WORDS, mode=st.sampled_from([0o644, 0o755, 0o4711]))
    def write(self, name: str, content: str, mode: int) -> None:
        self.files[name] = (content, mode)
        self.edited = True

    @rule(name=st.sampled_from(["folder/new", "folder/deep/z"]), there=st.booleans())
    def come_and_go(self, name: str, there: bool) -> None:
        if there:
            self.files[name] = ("new", 0o600)
        else:
            self.files.pop(name, None)
        self.edited = True

    @rule(word=WORDS)
    def set(self, word: str) -> None:
        self.sets = {"word": word}
        self.edited = True

    @rule()
    def prune(self) -> None:
        """What no tree is made of now is made again when it is wanted."""
        policy = Policy(step_age=0)
        apply(self.store, plan(self.store, policy), policy)
        self.edited = True

    @invariant()
    def cached_is_fresh(self) -> None:
        if not self.edited:
            return
        self.edited = False
        self.lay_out()
        cached = self.built(self.store)
        fresh = create_store(str(self.folder / "fresh"), "overlay")
        try:
            found = [str(one) for one in differences(self.built(fresh), cached, ("mtime",))]
            assert not found, (found, self.steps)
        finally:
            self.forget(fresh)

    def lay_out(self) -> None:
        """The recipes and their files, all with new times."""
        shutil.rmtree(self.folder / "folder", ignore_errors=True)
        for name, (content, mode) in self.files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if name == "data.tar":
                _archive(path, content, mode)
            else:
                path.write_text(f"#!/bin/sh\necho {content} $1 $WORD >>/said\n")
            path.chmod(mode)
        for place, above in (("base", f"[[step]]\n{self.first()}\n"), ("top", ABOVE)):
            steps = "".join(
                f"[[step]]\n{STEPS[kind].format(*words, user=self.user)}\n" for kind, *words in self.steps[place]
            )
            (self.folder / f"{place}.toml").write_text(f'{above}\n[vars]\nword = "one"\nowner = "{self.user}"\n{steps}')

    def built(self, store: Store) -> list[Entry]:
        tree, _ = build(store, str(self.folder / "top.toml"), Heard(), sets=self.sets, wish=Wish(replace=True))
        view = store.backend.open(tree, "ro")
        try:
            root = view.mount()
        finally:
            view.close()
        try:
            return [entry for entry in walk(root) if not entry.path.startswith(TIMES)]
        finally:
            os.close(root)

    def forget(self, store: Store) -> None:
        store.backend.clear(store.path)

    def teardown(self) -> None:
        self.forget(self.store)
        shutil.rmtree(self.folder)


class DebianBuilds(Builds):
    """On a Debian, whose repository changes too."""

    user = "daemon"

    def __init__(self) -> None:
        super().__init__()
        self.debian = debian().copy(self.folder / "debian")

    def first(self) -> str:
        options = f'suite = "bookworm"\nmirror = "file://{self.debian.folder}"\nkeyring = "{self.debian.keyring}"'
        return f'driver = "mmdebstrap"\n[step.debootstrap]\n{options}'

    @initialize()
    def begin_with_apt(self) -> None:
        self.steps["base"].append(("apt", "hello", ""))

    @rule(place=PLACES, package=st.sampled_from(["hello", "daemon"]))
    def apt(self, place: str, package: str) -> None:
        self.steps[place].append(("apt", package, ""))
        self.edited = True

    @rule(version=st.sampled_from(["1.5", "1.6"]))
    def publish(self, version: str) -> None:
        self.debian.publish(hello(version))
        self.edited = True


def test_cached_is_fresh(tmp_path: Path) -> None:
    drive(Builds, tmp_path, 12, 8)


def test_cached_is_fresh_on_debian(tmp_path: Path) -> None:
    drive(DebianBuilds, tmp_path, 2, 5)


def drive(machine: type[Builds], ground: Path, examples: int, count: int) -> None:
    effort = settings(
        max_examples=examples, stateful_step_count=count, deadline=None, suppress_health_check=list(HealthCheck),
        database=None, phases=[Phase.generate],  # to shrink a failure takes minutes
    )  # fmt: skip
    run_state_machine_as_test(type("Here", (machine,), {"ground": ground}), settings=effort)


def _archive(path: Path, content: str, mode: int) -> None:
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("data/file")
        member.mode = mode
        member.linkname, member.type = content, tarfile.SYMTYPE
        archive.addfile(member)
