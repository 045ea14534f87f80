"""The one family of exceptions: what failed, why, and what to do about it."""


class Error(Exception):
    """A failure the user is told of.

    brief: what failed, one line. details: why, any number of lines (a tool's last words, an errno).
    hint: what to do. status: the exit status of the command (see README, "Exit status").
    """

    status = 1

    def __init__(self, brief: str, details: str = "", hint: str = "", status: int = 0) -> None:
        super().__init__(brief)
        self.brief = brief
        self.details = details
        self.hint = hint
        if status:
            self.status = status

    def __str__(self) -> str:
        return "\n".join(part for part in (self.brief, self.details, self.hint) if part)


class UsageError(Error):
    """What was asked for makes no sense: a bad option, name or recipe."""

    status = 2


class NotFoundError(Error):
    """No such tree, recipe, step or log."""


class BusyError(Error):
    """Somebody else holds the lock that this needs."""


class EndedError(BusyError):
    """Who held it has just ended, or changed what was copied: it can be tried again at once."""
