"""A web server for a folder, on loopback, in a process of its own; it keeps a list of what it was asked for."""

import http.server
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Server:
    def __init__(self, url: str, asked: Path) -> None:
        self.url = url
        self._asked = asked

    def asked(self) -> list[str]:
        """The paths, in order."""
        return self._asked.read_text().splitlines()


@contextmanager
def serve(folder: Path, asked: Path) -> Iterator[Server]:
    """For the length of a with-block. `asked`: where the list goes, outside `folder`."""
    asked.touch()
    reader, writer = os.pipe()
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, __file__, str(folder), str(asked)],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, writer, 1)],
    )
    os.close(writer)
    try:
        with open(reader) as said:
            port = int(said.readline())
        yield Server(f"http://127.0.0.1:{port}", asked)
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


class _Handler(http.server.SimpleHTTPRequestHandler):
    asked: Path

    def log_message(self, format: str, *words: object) -> None:
        with open(self.asked, "a") as file:
            print(self.path, file=file)


def _main(folder: str, asked: str) -> None:
    os.chdir(folder)
    _Handler.asked = Path(asked)
    server = http.server.HTTPServer(("127.0.0.1", 0), _Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    _main(*sys.argv[1:])
