import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import roots

from treesmith import run
from treesmith.errors import Error
from treesmith.sandbox.sandbox import Sandbox


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return roots.busybox(tmp_path_factory.mktemp("root"))


@pytest.fixture
def log(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "log", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


def sh(root: Path, script: str, log: int, **options: object) -> list[str]:
    lines: list[str] = []
    view = roots.Folder(root)
    try:
        run.run(Sandbox(view, ("sh", "-c", script)), log, lines.append, **options)  # type: ignore[arg-type]
    finally:
        view.close()
    return lines


def test_the_log_is_whole_and_lines_are_lines(root: Path, log: int) -> None:
    script = r"printf 'one\ntwo\r\n 10%%\r 20%%\n'; echo three >&2; printf end"
    assert sh(root, script, log) == ["one", "two", " 20%", "three", "end"]
    assert os.pread(log, 1000, 0) == b"one\ntwo\r\n 10%\r 20%\nthree\nend"


def test_megabytes(root: Path, log: int) -> None:
    assert len(sh(root, "seq 1000000", log)) == 1000000


def test_a_failure_shows_its_last_lines(root: Path, log: int) -> None:
    with pytest.raises(Error) as caught:
        sh(root, "seq 100; echo bad >&2; exit 7", log, what="counting")
    assert caught.value.brief == "counting failed with status 7"
    assert caught.value.details.splitlines() == [*map(str, range(82, 101)), "bad"]
    assert caught.value.status == 1


def test_a_missing_command(root: Path, log: int) -> None:
    view = roots.Folder(root)
    with pytest.raises(Error, match="nothere: not found") as caught:
        run.run(Sandbox(view, ("nothere",)), log)
    assert caught.value.status == 1
    view.close()


def test_stdin(root: Path, log: int, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("a\nb\n")
    with (tmp_path / "in").open() as file:
        assert sh(root, "cat", log, stdin=file.fileno()) == ["a", "b"]
    assert sh(root, "wc -c", log) == ["0"]


def test_an_exception_kills_everything(root: Path, log: int) -> None:
    def refuse(line: str) -> None:
        raise ValueError(line)

    view = roots.Folder(root)
    with pytest.raises(ValueError, match="started"):
        run.run(Sandbox(view, ("sh", "-c", "sleep 1000 & echo started; sleep 1000")), log, refuse)
    view.close()


@pytest.mark.parametrize("delay", [0.0, 0.001, 0.003, 0.006, 0.01, 0.02, 0.05])
def test_ctrl_c(root: Path, log: int, delay: float) -> None:
    """SIGINT at any moment: KeyboardInterrupt, and nothing left (the fixture no_leaks looks)."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:  # only here may a KeyboardInterrupt come at any time
        try:
            os.write(writer, b"ready")
            run.run(Sandbox(roots.Folder(root), ("sleep", "1000")), log)
        except KeyboardInterrupt:
            os._exit(42)
        finally:
            os._exit(1)
    assert os.read(reader, 5) == b"ready"
    time.sleep(delay)
    os.kill(pid, signal.SIGINT)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 42
    os.close(reader)
    os.close(writer)


def test_output() -> None:
    assert run.output(("echo", "1.0")) == "1.0\n"
    with pytest.raises(Error, match="failed with status 1"):
        run.output(("false",))
    with pytest.raises(Error, match="could not be started"):
        run.output(("/nonexistent",))
