"""The grammar of recipes: what is right, and that what is wrong is told with file, line and the nearest right word."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treesmith import recipe
from treesmith.errors import Error, NotFoundError, UsageError

GOOD = """\
description = "A test"
arch = "amd64"

[vars]
suite = "bookworm"
mirror = ""
count = 3
wide = true
extra = ["vim", "less"]

[[step]]
name = "the base"
driver = "debootstrap"
env = { SUITE = "{suite}", EMPTY = "", GONE = "{mirror}", TEXT = "{count} {{x}} {wide}" }
secrets = ["TOKEN"]
[step.debootstrap]
suite = "{suite}"
mirror = "{mirror}"
include = ["ca-certificates", "{extra}", "{mirror}"]
trust = "{wide}"

[[step]]
run = "echo {suite} ${HOME}"

[[step]]
apt = "{extra}"

[launch]
command = ["sh"]
env = { A = "{kept}" }
ports = ["8080:80", "127.0.0.1:53:53/udp"]
cpus = 0.5
memory = "512M"
"""


def write(folder: Path, text: str, name: str = "test.toml") -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def read(folder: Path, text: str, **texts: str) -> recipe.Recipe:
    return recipe.chain(write(folder, text), texts, [])[-1]


def test_everything_of_the_grammar(tmp_path: Path) -> None:
    made = read(tmp_path, GOOD)
    assert (made.name, made.description, made.arch, made.base) == ("test", "A test", "x86_64", None)
    bootstrap, run, apt = made.steps
    assert bootstrap.options == {
        "suite": "bookworm",
        "include": ("ca-certificates", "vim", "less"),
        "variant": "minbase",
        "components": ("main",),
        "updates": False,
        "trust": True,
        "expired": False,
    }
    assert bootstrap.env == {"SUITE": "bookworm", "EMPTY": "", "TEXT": "3 {x} true"}
    assert (bootstrap.name, bootstrap.driver, bootstrap.network, bootstrap.secrets) == (
        "the base", "debootstrap", True, ("TOKEN",),
    )  # fmt: skip
    assert run.options == {"command": "echo {suite} ${HOME}"} and not run.network
    assert apt.options["packages"] == ("vim", "less") and apt.network
    assert made.launch["env"] == {"A": "{kept}"}
    assert made.set == {}


def test_set_takes_the_variables_types(tmp_path: Path) -> None:
    made = read(tmp_path, GOOD, suite="trixie", wide="false", extra="a,b", mirror="http://x/debian", count="3")
    assert made.set == {"suite": "trixie", "wide": False, "extra": ("a", "b"), "mirror": "http://x/debian"}
    assert made.steps[0].options["include"] == ("ca-certificates", "a", "b", "http://x/debian")
    assert made.record()["set"]["extra"] == ["a", "b"]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"suit": "x"}, "no variable 'suit'.*did you mean suite"),
        ({"wide": "yes"}, "neither true nor false"),
        ({"count": "many"}, "not an integer"),
        ({"count": "9" * 5000}, "not an integer"),
    ],
)
def test_a_set_that_is_wrong(tmp_path: Path, texts: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, GOOD, **texts)
    assert re.search(message, str(caught.value), re.DOTALL)
    assert re.match(rf"{tmp_path}/test.toml:\d+: ", caught.value.brief)


STEP = '[[step]]\ndebootstrap = { suite = "bookworm" }\n'

# What is wrong, the line that must be named, what must be said.
WRONG = [
    ("descripton = 'x'\n" + STEP, 1, "no 'descripton'.*description"),
    (STEP + "\n[luanch]\nuser = 'x'\n", 4, "no 'luanch'.*launch"),
    ("description = 1\n" + STEP, 1, "description must be a string"),
    ("arch = 'amd46'\n" + STEP, 1, "no architecture 'amd46'.*amd64"),
    ("", 1, "needs a step or a `from`"),
    ("[[step]]\nrun = 'x'\n", 1, "needs a tree to work in.*debootstrap"),
    (STEP + STEP, 4, "needs an empty root"),
    ("from = 'x'\n" + STEP, 3, "needs an empty root"),
    (STEP + "[[step]]\nname = 'x'\n", 3, "step 2 has no kind"),
    (STEP + "[[step]]\nrun = 'x'\napt = ['y']\n", 5, "of two kinds: run and apt"),
    (STEP + "[[step]]\nrnu = 'x'\n", 4, "no 'rnu'.*run"),
    (STEP + "[[step]]\nrun = 'x'\nnetwrok = true\n", 5, "no 'netwrok'.*network"),
    (STEP + "[[step]]\nrun = 'x'\nnetwork = 'yes'\n", 5, "network must be true or false"),
    (STEP + "[[step]]\nrun = 'x'\ndriver = 'bash'\n", 5, "run has no driver 'bash'"),
    (STEP + "[[step]]\nrun = 1\n", 4, "command must be a string .* or a list"),
    (STEP + "[[step]]\nrun = []\n", 4, "command must be"),
    (STEP + "[[step]]\nrun = [1]\n", 4, "must be a string, an integer, a bool or a list of strings"),
    (STEP + "[[step]]\napt = 'vim'\n", 4, "packages must be a list of strings"),
    (STEP + "[[step]]\napt = 1.5\n", 4, "must be a string, an integer"),
    (STEP + "[[step]]\n[step.apt]\n\npakages = []\n", 6, "no 'pakages'.*packages"),
    (STEP + "[[step]]\ncopy = { from = 'x' }\n", 4, "copy needs to"),
    (STEP + "[[step]]\ncopy = 'x'\n", 4, "copy takes a table"),
    (STEP + "[[step]]\n[step.copy]\nfrom = '/etc'\nto = '/x'\n", 5, "from must be a path relative"),
    (STEP + "[[step]]\n[step.copy]\nfrom = 'x'\nto = 'y'\n", 6, "to must be an absolute path"),
    (STEP + "[[step]]\n[step.copy]\nfrom = 'x'\nto = '/y/../..'\n", 6, "to must be an absolute path"),
    (STEP + "[[step]]\n[step.copy]\nfrom = 'x'\nto = '/y'\nmode = '0999'\n", 7, "mode must be permission bits"),
    (STEP + "[[step]]\n[step.npm]\npackages = []\nlock = 'x'\n", 4, "exactly one of packages, lock"),
    ("[[step]]\n[step.debootstrap]\nsuite = 'x'\nvariant = 'tiny'\n", 4, "variant must be one of minbase"),
    ("[[step]]\n[step.debootstrap]\nsuite = ''\n", 2, "debootstrap needs suite"),
    ("[[step]]\n[step.debootstrap]\nsuite = '{siute}'\n[vars]\nsuite = 'x'\n", 3, "no variable.*{suite}"),
    ("[[step]]\n[step.debootstrap]\nsuite = 'x{'\n", 3, "a lone {.*{{"),
    ("[vars]\nl = []\n[[step]]\n[step.debootstrap]\nsuite = 'x{l}'\n", 5, "is a list and cannot be part"),
    ("[vars]\nn = 1\n[[step]]\n[step.debootstrap]\nsuite = '{n}'\n", 5, "suite must be a string"),
    ("[[step]]\n[step.debootstrap]\nsuite = 'a\x7f'\n", 3, "not TOML"),
    ('[[step]]\n[step.debootstrap]\nsuite = "a\\u0000"\n', 3, "zero byte"),
    ("[vars]\nSuite = 1\n" + STEP, 2, "'Suite' cannot be a variable"),
    ("[vars]\nstep = 1\n" + STEP, 2, "is a word of the grammar"),
    ("[vars]\nx = 1.5\n" + STEP, 2, "must be a string, an integer"),
    ("vars = 1\n" + STEP, 1, "vars must be a table"),
    ("step = 1\n", 1, r"steps are written \[\[step\]\]"),
    ("[[step]]\nenv = { A = 1 }\nrun = 'x'\n", 2, "env must be a table"),
    ("[[step]]\nenv = { 'A=B' = 'x' }\nrun = 'x'\n", 2, "env must be a table"),
    ("[[step]]\nsecrets = ['../x']\nrun = 'x'\n", 2, "secrets must be a list"),
    (STEP + "[launch]\nnetwork = 'host'\n", 4, 'must be "none" or "private".*cannot loosen'),
    (STEP + "[launch]\nbind = ['/:/host']\n", 4, "launch has no 'bind'"),
    (STEP + "[launch]\nnet = 'none'\n", 4, "launch has no 'net'"),
    (STEP + "[launch]\ncommand = 'sh'\n", 4, "command must be a list"),
    (STEP + "[launch]\nports = ['80']\n", 4, "ports must be a list of"),
    (STEP + "[launch]\nports = ['80:99999']\n", 4, "ports must be a list of"),
    (STEP + "[launch]\npids = true\n", 4, "pids must be an integer above 0"),
    (STEP + "[launch]\nstop-signal = 'TERM'\n", 4, "stop-signal must be a signal"),
    (STEP + "[launch]\nchdir = 'x'\n", 4, "chdir must be an absolute path"),
    (STEP + "[launch.env]\nA = 1\n", 3, "env must be a table of"),
    ("from = 1\n", 1, "from must be"),
    ("from = { recipe = 'x', sett = {} }\n", 1, "no 'sett'.*set"),
    ("from = { recipe = 'x', set = { a = '{b}' } }\n", 1, "{b} is no variable"),
    ("from = 'nowhere'\n", 1, "from: no recipe 'nowhere'"),
    ("from = './nowhere.toml'\n", 1, "from: no recipe at"),
    ("x = [\n", 1, "not TOML"),
    ("x = " + "[" * 5000 + "\n", 1, "nested too deeply|not TOML"),
    ("x = " + "9" * 5000 + "\n", 1, "not TOML|no 'x'"),
    ("a = 1\na = 2\n", 2, "not TOML.*overwrite"),
]


@pytest.mark.parametrize(("text", "line", "message"), WRONG, ids=range(len(WRONG)))
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, line: int, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, text)
    assert caught.value.brief.startswith(f"{tmp_path}/test.toml:{line}: "), caught.value.brief
    assert re.search(message, str(caught.value), re.DOTALL), str(caught.value)
    assert caught.value.status == 2


def test_lines_are_counted_past_texts_that_look_like_toml(tmp_path: Path) -> None:
    text = STEP + '[[step]]\nrun = """\n[[step]]\nname = 1\n"""\n[[step]]\nname = 1\nrun = "x"\n'
    with pytest.raises(UsageError, match=r"test.toml:9: name must be"):
        read(tmp_path, text)


def test_a_chain_and_values_for_its_base(tmp_path: Path) -> None:
    write(tmp_path, "[vars]\nsuite = 'bookworm'\n[[step]]\ndebootstrap = { suite = '{suite}' }\n", "search/base.toml")
    text = "from = { recipe = 'base', set = { suite = '{which}' } }\n[vars]\nwhich = 'trixie'\n[[step]]\nrun = 'x'\n"
    base, top = recipe.chain(write(tmp_path, text), {}, [str(tmp_path / "search")])
    assert base.set == {"suite": "trixie"} and top.set == {}
    assert base.steps[0].options["suite"] == "trixie"
    base, top = recipe.chain(write(tmp_path, text), {"which": "bookworm"}, [str(tmp_path / "search")])
    assert base.set == {} and top.set == {"which": "bookworm"}


@pytest.mark.parametrize(
    ("given", "message"), [("{ no = 1 }", "no variable 'no'"), ("{ suite = 1 }", "must be string")]
)
def test_wrong_values_for_a_base_are_its_childs_fault(tmp_path: Path, given: str, message: str) -> None:
    write(tmp_path, "[vars]\nsuite = 'x'\n[[step]]\ndebootstrap = { suite = '{suite}' }\n", "search/base.toml")
    path = write(tmp_path, f"description = ''\nfrom = {{ recipe = 'base', set = {given} }}\n")
    with pytest.raises(UsageError, match=rf"{tmp_path}/test.toml:2: .*{message}"):
        recipe.chain(path, {}, [str(tmp_path / "search")])


def test_a_circle(tmp_path: Path) -> None:
    write(tmp_path, "from = './b.toml'\n", "a.toml")
    write(tmp_path, "from = './a.toml'\n", "b.toml")
    write(tmp_path, "from = '../self'\n", "self/recipe.toml")
    with pytest.raises(UsageError, match=r"b.toml:1: from goes round in a circle\na from b from a"):
        recipe.chain(str(tmp_path / "a.toml"), {}, [])
    with pytest.raises(UsageError, match="circle"):
        recipe.chain(str(tmp_path / "self"), {}, [])


def test_architectures_go_along_the_chain(tmp_path: Path) -> None:
    write(tmp_path, "arch = 'arm64'\n" + STEP, "base.toml")
    made = recipe.chain(write(tmp_path, "from = './base.toml'\n"), {}, [])
    assert [one.arch for one in made] == ["aarch64", "aarch64"]
    with pytest.raises(UsageError, match=r"test.toml:2: arch is x86_64, but base's is aarch64"):
        recipe.chain(write(tmp_path, "from = './base.toml'\narch = 'amd64'\n"), {}, [])


def test_the_first_folder_of_the_search_path_wins(tmp_path: Path) -> None:
    write(tmp_path, "description = 'mine'\n" + STEP, "mine/app/recipe.toml")
    write(tmp_path, "description = 'theirs'\n" + STEP, "theirs/app.toml")
    write(tmp_path, "wrong = 1", "theirs/other.toml")
    search = [str(tmp_path / "mine"), str(tmp_path / "nowhere"), str(tmp_path / "theirs")]
    assert recipe.chain("app", {}, search)[0].description == "mine"
    listed = recipe.recipes(search)
    assert [(one.name, one.description, one.shadowed) for one in listed] == [
        ("app", "mine", False), ("app", "theirs", True), ("other", "", False),
    ]  # fmt: skip
    assert "no 'wrong'" in listed[2].wrong
    with pytest.raises(NotFoundError, match=r"no recipe 'ap'\n.*\ndid you mean app"):
        recipe.chain("ap", {}, search)


def test_two_recipes_of_one_name_in_one_folder(tmp_path: Path) -> None:
    write(tmp_path, STEP, "app.toml")
    write(tmp_path, STEP, "app/recipe.toml")
    with pytest.raises(UsageError, match="two recipes are called app"):
        recipe.chain("app", {}, [str(tmp_path)])


def test_the_users_own_folder_comes_first() -> None:
    mine, system, shipped = recipe.folders({"HOME": "/home/me"})
    assert (mine, system) == ("/home/me/.config/treesmith/recipes", "/etc/treesmith/recipes")
    assert recipe.folders({"HOME": "/home/me", "XDG_CONFIG_HOME": "/x"})[0] == "/x/treesmith/recipes"
    assert Path(shipped, "debian-base.toml").is_file()


def test_every_shipped_recipe_is_right() -> None:
    shipped = recipe.recipes(recipe.folders({"HOME": "/nonexistent"})[2:])
    assert {"debian-base", "python-app", "node-app", "ruby-app"} <= {one.name for one in shipped}
    assert not [one.wrong for one in shipped if one.wrong]
    for one in shipped:
        assert recipe.chain(one.name, {}, recipe.folders({})[2:])[-1].origin == f"treesmith:{one.name}"


@pytest.mark.parametrize("name", ["No.toml", ".toml", "recipe.toml.toml", "a b/recipe.toml"])
def test_a_file_that_cannot_name_a_tree(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be a recipe"):
        recipe.chain(write(tmp_path, STEP, name), {}, [])


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.toml")
    (tmp_path / "big.toml").write_bytes(b"#" * (1 << 21))
    for name, message in (("fifo", "not a regular file"), ("big", "larger than")):
        with pytest.raises(UsageError, match=message):
            recipe.chain(str(tmp_path / f"{name}.toml"), {}, [])


def complains_or_not(folder: Path, data: bytes) -> None:
    path = folder / "garbage.toml"
    path.write_bytes(data)
    try:
        recipe.chain(str(path), {"suite": "x"}, [])
    except UsageError as error:
        assert re.match(rf"{path}:[1-9]\d*: ", error.brief), error.brief
    except Error as error:
        raise AssertionError(f"{error!r} names no line") from error


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=300))
def test_garbage(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    complains_or_not(tmp_path_factory.getbasetemp(), data)


WORDS = """
= = = [ ] [[ ]] [[step]] [step.apt] [vars] [launch] from run apt copy to packages suite env name driver { } a 'x' '{{'
"{suite}" 1 1.5 true inf nan 1979-05-27 [] ['a'] , . # \\u0000 \\ é '''
"""
words = st.sampled_from([*WORDS.split(), "\n", "\n", "\n", '"""'])


@settings(max_examples=500, deadline=None)
@given(parts=st.lists(words, max_size=40))
def test_garbage_of_the_grammars_words(tmp_path_factory: pytest.TempPathFactory, parts: list[str]) -> None:
    complains_or_not(tmp_path_factory.getbasetemp(), " ".join(parts).encode())


@settings(max_examples=500, deadline=None)
@given(at=st.integers(0, len(GOOD)), length=st.integers(0, 30), text=st.text(max_size=10))
def test_a_good_recipe_with_a_hole(tmp_path_factory: pytest.TempPathFactory, at: int, length: int, text: str) -> None:
    spoilt = GOOD[:at] + text + GOOD[at + length :]
    complains_or_not(tmp_path_factory.getbasetemp(), spoilt.encode(errors="surrogatepass"))
