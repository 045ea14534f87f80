"""What a package manager is doing, heard from the lines that it prints."""

import re

# What is said of a line, and the line. apt and dpkg; debootstrap and mmdebstrap; pip; npm.
_PATTERNS = (
    ("downloading", r"Get:\d+ \S+ \S+ \S+ (?P<name>\S+) \S+ \S+ \["),
    (
        "fetching lists",
        r"(?:Get|Hit|Ign):\d+ \S+ (?P<name>\S+) (?:\S+ )?(?:InRelease|Packages|Sources|Translation)",
    ),
    ("unpacking", r"Unpacking (?P<name>[^\s(]+) "),
    ("setting up", r"Setting up (?P<name>\S+) "),
    ("triggers of", r"Processing triggers for (?P<name>\S+) "),
    ("downloading", r"I: Retrieving (?P<name>\S+)"),
    ("checking", r"I: Validating (?P<name>\S+)"),
    ("extracting", r"I: Extracting (?P<name>\S+?)\.\.\."),
    ("unpacking", r"I: Unpacking (?P<name>\S+?)\.\.\.$"),
    ("setting up", r"I: Configuring (?P<name>\S+?)\.\.\."),
    ("collecting", r"\s*Collecting (?P<name>\S+)"),
    ("downloading", r"\s*Downloading (?P<name>\S+)"),
    ("building", r"\s*Building wheels? for (?:collected packages: )?(?P<name>[^\s,]+)"),
    ("installing", r"Installing collected packages: (?P<name>.+)"),
    ("fetching", r"npm http (?:fetch|cache) (?:GET \d+ )?\S+/(?P<name>[^\s/]+)"),
    ("", r"I: (?P<name>.+)"),
)
# apt tells the number before it begins; dpkg's lines are counted against it.
_EXPECTED = r"(?P<up>\d+) upgraded, (?P<new>\d+) newly installed"
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
        if expected := re.match(_EXPECTED, text):
            self._expected = int(expected["up"]) + int(expected["new"])
            return
        for phase, pattern in _PATTERNS:
            if found := re.match(pattern, text):
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
