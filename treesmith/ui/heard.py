"""What a package manager is doing, heard from the lines that it prints."""

import re

# What is said of a line, and the line. apt and dpkg; debootstrap and mmdebstrap; pip; npm.
_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("downloading", re.compile(r"Get:\d+ \S+ \S+ \S+ (?P<name>\S+) \S+ \S+ \[")),
    (
        "fetching lists",
        re.compile(r"(?:Get|Hit|Ign):\d+ \S+ (?P<name>\S+) (?:\S+ )?(?:InRelease|Packages|Sources|Translation)"),
    ),
    ("unpacking", re.compile(r"Unpacking (?P<name>[^\s(]+) ")),
    ("setting up", re.compile(r"Setting up (?P<name>\S+) ")),
    ("triggers of", re.compile(r"Processing triggers for (?P<name>\S+) ")),
    ("downloading", re.compile(r"I: Retrieving (?P<name>\S+)")),
    ("checking", re.compile(r"I: Validating (?P<name>\S+)")),
    ("extracting", re.compile(r"I: Extracting (?P<name>\S+?)\.\.\.")),
    ("unpacking", re.compile(r"I: Unpacking (?P<name>\S+?)\.\.\.$")),
    ("setting up", re.compile(r"I: Configuring (?P<name>\S+?)\.\.\.")),
    ("collecting", re.compile(r"\s*Collecting (?P<name>\S+)")),
    ("downloading", re.compile(r"\s*Downloading (?P<name>\S+)")),
    ("building", re.compile(r"\s*Building wheels? for (?:collected packages: )?(?P<name>[^\s,]+)")),
    ("installing", re.compile(r"Installing collected packages: (?P<name>.+)")),
    ("fetching", re.compile(r"npm http (?:fetch|cache) (?:GET \d+ )?\S+/(?P<name>[^\s/]+)")),
    ("", re.compile(r"I: (?P<name>.+)")),
)
# apt tells the number before it begins; dpkg's lines are counted against it.
_EXPECTED = re.compile(r"(?P<up>\d+) upgraded, (?P<new>\d+) newly installed")
_COUNTED = {"downloading", "unpacking", "setting up"}


class Heard:
    """note: what goes on now, a few words. done, total: of how many packages in this phase; total 0: not known."""

    def __init__(self) -> None:
        self.note = ""
        self.done = 0
        self.total = 0
        self._phase = ""
        self._expected = 0

    def line(self, text: str) -> None:
        """Take in one line of output; one that says nothing known is its own note."""
        text = text.rstrip()
        if expected := _EXPECTED.match(text):
            self._expected = int(expected["up"]) + int(expected["new"])
            return
        for phase, pattern in _PATTERNS:
            if found := pattern.match(text):
                self._count(phase)
                self.note = f"{phase} {found['name']}".strip()
                return
        if text.strip():
            self.note = text.strip()

    def _count(self, phase: str) -> None:
        self.done = self.done + 1 if phase == self._phase else 1
        self._phase = phase
        counted = phase in _COUNTED and self.done <= self._expected
        self.total = self._expected if counted else 0
