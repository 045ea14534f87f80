"""Dockerfiles that become recipes, line by line, and those that cannot."""

import tarfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treesmith.errors import Error, UsageError
from treesmith.recipe.dockerfile import convert
from treesmith.recipe.words import escape, expand
from treesmith.recipe.written import value
from treesmith.steps.ignored import Ignored

pytest.importorskip("dockerfile", reason="Dockerfiles are read by its module, which is not installed")
CONFIG = {
    "Env": ["PATH=/opt/bin:/usr/bin", "LANG=C"],
    "User": "me",
    "WorkingDir": "/srv",
    "Entrypoint": ["/start"],
    "Cmd": ["serve"],
    "ExposedPorts": {"80/tcp": {}},
}


def ask(image: str) -> Mapping[str, Any]:
    if "nosuch" in image:
        raise Error("skopeo failed with status 1", "manifest unknown")
    if "trigger" in image:
        return {"config": {"OnBuild": ["RUN x"]}}
    return {"config": CONFIG if "base" in image else {}}


def made(folder: Path, text: str) -> dict[str, Any]:
    path = folder / "Dockerfile"
    path.write_text(text)
    return tomllib.loads(convert(str(path), text, ask))


def ran(folder: Path, lines: str) -> list[dict[str, Any]]:
    """The steps after FROM, without their names."""
    steps = made(folder, f"FROM plain\n{lines}\n")["step"][1:]
    return [{key: said for key, said in step.items() if key != "name"} for step in steps]


def test_from(tmp_path: Path) -> None:
    recipe = made(tmp_path, "ARG V=12\nFROM --platform=linux/arm64 debian:${V}${W:-x} AS one\nUSER 0\n")
    assert recipe["step"] == [{"name": "FROM, line 2", "oci": "docker://debian:12x"}] and recipe["arch"] == "aarch64"
    assert made(tmp_path, "FROM oci:layout:image\n")["step"][0]["oci"] == "oci:layout:image"
    assert "arch" not in made(tmp_path, "FROM --platform=$TARGETPLATFORM plain\n")


def test_run(tmp_path: Path) -> None:
    one, two = ran(tmp_path, 'RUN apt-get update && \\\n  # no\n\n  echo "$HOME" {a}\nRUN ["id", "-u"]')
    assert one == {"network": True, "run": ["/bin/sh", "-c", 'apt-get update &&   echo "$HOME" {a}']}
    assert two == {"network": True, "run": ["id", "-u"]}
    secret = ran(tmp_path, "RUN --network=none --mount=type=secret,id=key,required=true cat /run/secrets/key")[0]
    assert (secret["network"], secret["secrets"]) == (False, ["key"])
    made = ran(tmp_path, 'SHELL ["/bin/bash", "-ec"]\nUSER a:b\nRUN x')[0]
    assert made["run"] == {"command": ["/bin/bash", "-ec", "x"], "user": "a:b"}


def test_what_the_base_says_holds_for_what_is_run(tmp_path: Path) -> None:
    recipe = made(tmp_path, "FROM base\nARG A={x}\nARG LANG=de\nRUN x\n")
    assert recipe["step"][1]["run"] == {"command": ["/bin/sh", "-c", "x"], "user": "me", "chdir": "/srv"}
    assert recipe["step"][1]["env"] == {"A": "{{x}}", "LANG": "C", "PATH": "/opt/bin:/usr/bin"}
    assert recipe["launch"] == {"network": "private"}  # the rest is the image's own


def test_texts_that_stand_in_the_dockerfile(tmp_path: Path) -> None:
    (one,) = ran(tmp_path, "RUN <<-EOF\n\techo a\n\techo $b\nEOF")
    assert one["run"] == ["/bin/sh", "-c", "echo a\necho $b\n"]
    (two,) = ran(tmp_path, "RUN cat <<'END' >/x && cat /x\nhello $y\nEND\n")
    assert two["run"] == ["/bin/sh", "-c", "cat <<'END' >/x && cat /x\nhello $y\nEND\n"]


def test_another_escape(tmp_path: Path) -> None:
    text = "# syntax=docker/dockerfile:1\n# escape=`\nFROM plain\nENV A=a`\n  B=c:\\d\nRUN x `\n  y\n"
    step = made(tmp_path, text)["step"][1]
    assert step["env"] == {"A": "a", "B": "c:\\d"} and step["run"][2] == "x   y"


def test_copies(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("one.c", "two.c", ".three.c", "sub/file", "a {b}"):
        (tmp_path / name).write_text(name)
    with tarfile.open(tmp_path / "root.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "sub", ".")

    def copied(line: str) -> list[dict[str, str]]:
        return [step.get("copy") or {"tar": step["tar"]} for step in ran(tmp_path, line)]

    assert copied("COPY one.c /x") == [{"from": "one.c", "to": "/x"}]
    assert copied("COPY /one.c /x/") == [{"from": "one.c", "to": "/x/one.c"}]
    assert copied("COPY --chown=5 --chmod=0640 one.c .") == [
        {"from": "one.c", "to": "/one.c", "owner": "5:5", "mode": "0640"}
    ]
    assert copied("COPY --link --chown=me:staff sub/ ./x/") == [{"from": "sub", "to": "/x", "owner": "me:staff"}]
    assert copied("COPY *.c sub /y/") == [
        {"from": ".three.c", "to": "/y/.three.c"},
        {"from": "one.c", "to": "/y/one.c"},
        {"from": "two.c", "to": "/y/two.c"},
        {"from": "sub", "to": "/y"},
    ]
    assert copied('COPY ["a {b}", "/z"]') == [{"from": "a {{b}}", "to": "/z"}]
    assert copied("ADD root.tar.gz one.c /opt/") == [
        {"tar": {"file": "root.tar.gz", "to": "/opt"}},
        {"from": "one.c", "to": "/opt/one.c"},
    ]
    assert copied("COPY root.tar.gz /opt/") == [{"from": "root.tar.gz", "to": "/opt/root.tar.gz"}]
    (tmp_path / ".dockerignore").write_text("t*.c\n")
    assert copied("COPY *.c /y/")[1:] == [{"from": "one.c", "to": "/y/one.c", "ignore": ".dockerignore"}]
    (tmp_path / "Dockerfile.dockerignore").write_text("sub\n")
    assert copied("COPY . /")[0]["ignore"] == "Dockerfile.dockerignore"
    with pytest.raises(UsageError, match=r"Dockerfile:2: there is no sub to copy"):
        copied("COPY sub /")


def test_what_the_image_says_of_itself(tmp_path: Path) -> None:
    text = """FROM base
ENV A=1 B="two words"
ENV C $B$A and ${D:-none}${A:+more}
WORKDIR /var
WORKDIR x
USER daemon
EXPOSE 81 53/udp
STOPSIGNAL SIGINT
LABEL description="It is \\"good\\"" other=x
CMD ["a", "b"]
"""
    path = tmp_path / "Dockerfile"
    path.write_text(text)
    written = convert(str(path), text, ask)
    recipe = tomllib.loads(written)
    assert recipe["description"] == 'It is "good"' and "\n# other: x\n" in written
    assert recipe["launch"] == {
        "command": ["/start", "a", "b"],
        "env": {"A": "1", "B": "two words", "C": "two words1 and nonemore"},
        "user": "daemon",
        "chdir": "/var/x",
        "stop-signal": "SIGINT",
        "ports": ["127.0.0.1:53:53/udp", "127.0.0.1:80:80", "127.0.0.1:81:81"],
        "network": "private",
    }
    assert [step["run"] for step in recipe["step"][1:]] == [["mkdir", "-p", "/var"], ["mkdir", "-p", "/var/x"]]
    # An entrypoint of one's own takes the base's command away; one in words goes to the shell.
    assert made(tmp_path, "FROM base\nENTRYPOINT go $A\n")["launch"]["command"] == ["/bin/sh", "-c", "go $A"]
    assert made(tmp_path, 'FROM base\nCMD ["x"]\nENTRYPOINT ["y"]\n')["launch"]["command"] == ["y", "x"]
    assert made(tmp_path, "FROM base\nWORKDIR /\n")["launch"]["chdir"] == "/"


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("FROM plain\nFROM plain", "2: a second stage"),
        ("FROM plain\nCOPY --from=x a b", "2: COPY --from is not for a recipe"),
        ("FROM plain\nRUN --mount=type=cache,target=/x y", "2: RUN --mount=type=cache,target=/x is not for a recipe"),
        ("FROM plain\nRUN --mount=type=secret,id=x,target=/y z", "2: RUN --mount"),
        ("FROM plain\n\nVOLUME /data", "3: VOLUME is not for a recipe"),
        ("FROM plain\nHEALTHCHECK CMD x", "2: HEALTHCHECK is not for a recipe"),
        ("FROM plain\nONBUILD RUN x", "2: ONBUILD is not for a recipe"),
        ("FROM plain\nMAINTAINER me", "2: MAINTAINER is not for a recipe"),
        ("FROM plain\nRNU x", "2: RNU is not for a recipe"),
        ("FROM plain\nADD https://example.invalid/x /", "2: ADD fetches something"),
        ("FROM plain\nCOPY ../x /", "2: ../x is not in the Dockerfile's folder"),
        ("FROM plain\nCOPY nosuch /", "2: there is no nosuch to copy"),
        ("FROM plain\nCOPY <<EOF /x\nhi\nEOF", "2: COPY of a text that stands here"),
        ("FROM plain\nRUN <<EOF\n#!/usr/bin/python3\nEOF", "2: a script that is not for the shell"),
        ("FROM plain\nCOPY --chmod=u+x Dockerfile /", "2: --chmod=u+x is no mode in octal"),
        ("FROM plain\nCOPY --chmod=755 . /", "2: --chmod of a folder"),
        ("FROM plain\nARG X", "2: ARG X has no default"),
        ("FROM plain\nENV A=${B##x}", "2: not understood"),
        ("FROM plain\nENV A='x", "2: not understood"),
        ("FROM plain\nEXPOSE 80-90", "2: 80-90 is no port"),
        ("FROM plain\nSTOPSIGNAL WHAT", "2: no signal WHAT"),
        ("FROM plain\nRUN", "2: RUN of nothing"),
        ("FROM base\nENTRYPOINT []", "2: no command is left"),
        ("FROM nosuch", "1: nosuch cannot be asked what it is"),
        ("FROM trigger", "1: trigger has instructions of its own"),
        ("RUN x\nFROM plain", "1: RUN before FROM"),
        ("FROM scratch\nRUN x", "2: there is nothing to run it in"),
        ("FROM scratch", "1: it makes nothing"),
        ("", "not a Dockerfile"),
    ],
)
def test_what_no_recipe_can_do(tmp_path: Path, lines: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        made(tmp_path, lines + "\n")
    assert f"{tmp_path}/Dockerfile:" in caught.value.brief and says in caught.value.brief


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("$A ${A}x $NO-", "a ax -"),
        ('\'$A\' "$A" \\$A "\\$A" "\\x"', "$A a $A $A \\x"),
        ("${NO:-x$A}${EMPTY:-y}${EMPTY-y}${NO-z}", "xayz"),
        ("${A:+b}${NO:+b}${EMPTY:+b}${EMPTY+c}", "bc"),
        ("${NO:-'}'}$$ $1", "}$$ $1"),
        ("${A:?no}", "a"),
    ],
)
def test_words(text: str, said: str) -> None:
    assert expand(text, {"A": "a", "EMPTY": ""}) == said


@pytest.mark.parametrize("text", ["${", "${A", "${A:-x", "${A%x}", '"x', "'x", "${NO:?is missing}", "${}"])
def test_words_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        expand(text, {"A": "a"})


@given(st.text(), st.dictionaries(st.sampled_from("AB"), st.text()))
def test_any_word_is_taken_or_refused(text: str, variables: dict[str, str]) -> None:
    try:
        expand(text, variables)
    except ValueError:
        pass


def test_the_escape_directive() -> None:
    assert escape("# escape=`\nFROM x") == "`" and escape("#syntax=x\n# Escape = `\n") == "`"
    assert escape("FROM x\n# escape=`\n") == "\\" and escape("# a comment\n# escape=`") == "\\"


@given(
    st.recursive(
        st.text() | st.booleans(), lambda below: st.lists(below) | st.dictionaries(st.text(), below), max_leaves=8
    )
)
def test_what_is_written_is_read(said: Any) -> None:
    try:
        text = f"x = {value(said)}"
        text.encode()
    except UnicodeEncodeError:
        return
    assert tomllib.loads(text)["x"] == said


@pytest.mark.parametrize(
    ("text", "paths", "kept"),
    [
        ("*.md\n!README.md", "README.md a.md sub/b.md", "README.md sub/b.md sub"),
        ("**/*.md", "a.md sub/b.md sub/c", "sub/c sub"),
        ("sub\n!sub/keep", "sub sub/keep sub/keep/x sub/gone", "sub sub/keep sub/keep/x"),
        ("/a\n./b/\n# c\n\n  d  ", "a a/x b/y c d", "c"),
        ("a?c\n[x-z]1\n[^x]2", "abc ac x1 a1 x2 b2", "ac a1 x2"),
        ("a/**/z", "a/z a/b/c/z a/b/y", "a/b/y a/b a"),
        ("*/t*", "t a/t a/b/t", "t a/b/t a/b a"),
        ("a.c", "abc a.c", "abc"),
        (".", "a", "a"),
    ],
)
def test_what_is_ignored(text: str, paths: str, kept: str) -> None:
    assert Ignored(text).kept(paths.split()) == set(kept.split())


def test_no_pattern() -> None:
    with pytest.raises(ValueError, match="without a ]"):
        Ignored("a[b")
    with pytest.raises(ValueError, match="is no pattern"):
        Ignored("[z-a]")
