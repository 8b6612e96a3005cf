"""The one error of the build."""


class BakeError(Exception):
    """A step failed: who, what and why, and what to do about it; one line."""

    def __init__(self, who: str, what: str, why: object, action: str) -> None:
        self.why = why
        super().__init__(" ".join(f"{who}: {what}: {why}; {action}".split()))
