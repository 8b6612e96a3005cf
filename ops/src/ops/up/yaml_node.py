"""A parsed YAML value that knows where it stands, so that every complaint names the place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ops.up.errors import ManifestError

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Node:
    """One value of the document and its path from the top, such as `spec.template.spec.containers[0]`."""

    value: Any
    file: str
    path: str = ""

    def fail(self, complaint: str) -> ManifestError:
        """Return (not raise) the error that says where the complaint is."""
        return ManifestError(f"{self.file}: {self.path or 'top level'}: {complaint}")

    def __getitem__(self, key: str) -> Node:
        """Return the child called `key`; a missing one has the value None.

        Raises:
            ManifestError: this value is not a mapping.

        """
        if self.value is None:
            children: dict[str, Any] = {}
        elif isinstance(self.value, dict):
            children = self.value
        else:
            raise self.fail(f"expected a mapping, found {self.value!r}")
        return Node(children.get(key), self.file, f"{self.path}.{key}" if self.path else key)

    def __iter__(self) -> Iterator[Node]:
        """Walk over a list; a missing one is empty."""
        if self.value is not None and not isinstance(self.value, list):
            raise self.fail(f"expected a list, found {self.value!r}")
        for index, item in enumerate(self.value or []):
            yield Node(item, self.file, f"{self.path}[{index}]")

    def __bool__(self) -> bool:
        """Say whether the document has this value at all."""
        return self.value is not None

    def text(self, default: str | None = None) -> str:
        """Return a string, or the default where there is none.

        Raises:
            ManifestError: it is missing without a default, or not a string (an unquoted number, say).

        """
        if self.value is None and default is not None:
            return default
        if not isinstance(self.value, str) or (not self.value and default is None):
            found = "nothing" if self.value in (None, "") else f"{self.value!r} (quote it?)"
            raise self.fail(f"expected a text, found {found}")
        return self.value

    def number(self, default: int | None, *, low: int, high: int) -> int:
        """Return a whole number between `low` and `high`, or the default where there is none.

        Raises:
            ManifestError: it is missing without a default, no whole number, or out of bounds.

        """
        if self.value is None and default is not None:
            return default
        if not isinstance(self.value, int) or isinstance(self.value, bool) or not low <= self.value <= high:
            found = "nothing" if self.value is None else repr(self.value)
            raise self.fail(f"expected a whole number from {low} to {high}, found {found}")
        return self.value

    def texts(self) -> dict[str, str]:
        """Return a mapping of strings, such as annotations; a missing one is empty."""
        if self.value is not None and not isinstance(self.value, dict):
            raise self.fail(f"expected a mapping, found {self.value!r}")
        return {str(key): self[str(key)].text("") for key in self.value or {}}
