"""Substitutions of a build: declared, used, and what a script sees of them.

Cloud Build puts them into every text of a build but its scripts. A script reads variables: what `env` and `secretEnv`
give it, and with `automapSubstitutions` every substitution.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ops.lint.findings import Options, Place, Problem, Severity
from ops.lint.values import items, mapping, text, texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# An even number of $ before it are escaped ones; a small letter after it makes the name a shell's own.
USE = re.compile(r"(?<!\$)(?:\$\$)*\$(?:\{(_[A-Z0-9_]++)(?![a-z])|(_[A-Z0-9_]++)(?![a-z]))")
DEFAULTS = ("-", ":-", "=", ":=", "+", ":+")
"""What follows a name in braces where the shell has a word for the case that it is not set."""
COMMENT = re.compile(r"^\s*#.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Step:
    """A step with its script, and whether every substitution is one of its variables."""

    place: Place
    raw: dict[Any, Any]
    script: str
    automap: bool

    @property
    def opaque(self) -> bool:
        """Whether it runs what its image runs by itself, which may read any variable."""
        return not (self.script or "args" in self.raw or "entrypoint" in self.raw)


def problems(build: dict[str, Any], options: Options) -> Iterator[Problem]:
    """Yield unknown names, names that a script does not get, and names that nobody uses; ALLOW_LOOSE forgives all."""
    build_options = mapping(build.get("options"))
    if text(build_options.get("substitutionOption")) == "ALLOW_LOOSE":
        return
    declared = {str(name): value for name, value in mapping(build.get("substitutions")).items()}
    steps = list(_steps(build, automap=build_options.get("automapSubstitutions") is True))
    yield from _unknown(build, declared.keys() | options.substitutions.keys())
    common = _variables(build_options)
    for step in steps:
        yield from _in_script(step, declared.keys() | options.substitutions.keys(), common)
    yield from _unused(build, declared, steps)


def _steps(build: dict[str, Any], *, automap: bool) -> Iterator[Step]:
    for index, each in enumerate(items(build.get("steps"))):
        step = mapping(each)
        own = step.get("automapSubstitutions")
        script = COMMENT.sub("", text(step.get("script")))
        yield Step(("steps", index), step, script, own if isinstance(own, bool) else automap)


def _variables(holder: dict[Any, Any]) -> set[str]:
    """Return the names of the variables that a step, or the build's options, give."""
    named = {text(line).partition("=")[0] for line in items(holder.get("env"))}
    return named | {text(name) for name in items(holder.get("secretEnv"))}


def _substituted(build: dict[str, Any]) -> Iterator[tuple[Place, str]]:
    """Yield every text that Cloud Build puts substitutions into, but their own values."""
    for place, line in texts({name: part for name, part in build.items() if name != "substitutions"}):
        if place[-1] != "script":
            yield place, line


def _unknown(build: dict[str, Any], known: set[str]) -> Iterator[Problem]:
    seen: set[str] = set()
    for place, line in _substituted(build):
        for name, _ in _uses(line):
            if name not in known and name not in seen:
                fix = f"Declare {name} under substitutions with a default, or write $${name} for the shell's own."
                reason = f"uses ${name}, which has no default: the build is refused without it"
                yield Problem(place, reason, _meant(name, known) + fix)
            seen.add(name)


def _in_script(step: Step, known: set[str], common: set[str]) -> Iterator[Problem]:
    """A script gets a substitution by name only where it is mapped; one that does not exist is empty there."""
    given = common | _variables(step.raw) | (known if step.automap else set())
    seen: set[str] = set()
    for name, has_default in _uses(step.script):
        if name in given or name in seen or has_default or _sets(step.script, name):
            continue
        seen.add(name)
        if name in known:
            reason = f"the script reads ${name}, but substitutions are not put into scripts: it is empty there"
            fix = f"Set automapSubstitutions: true, or give the step env: ['{name}=${{{name}}}']."
        else:
            reason = f"the script reads ${name}, which is no substitution, and nobody sets it: it is empty there"
            fix = f"{_meant(name, known)}Declare {name} under substitutions, or give it under env."
        yield Problem((*step.place, "script"), reason, fix)


def _unused(build: dict[str, Any], declared: dict[str, Any], steps: list[Step]) -> Iterator[Problem]:
    """A declared name that nobody uses is refused; where all are mapped it is only dead."""
    used = {name for _, line in [*_substituted(build), *texts(declared)] for name, _ in _uses(line)}
    mapped = [step for step in steps if step.automap]
    if any(step.opaque for step in mapped):
        return
    for name in declared:
        if name in used or any(_names(step, name) for step in mapped):
            continue
        place = ("substitutions", name)
        if mapped:
            reason = f"{name} is declared, but no step names it: to change it changes nothing"
            yield Problem(place, reason, "Use it, or remove it.", Severity.WARNING)
        else:
            fix = "Use it, remove it, or set options.substitutionOption to ALLOW_LOOSE."
            yield Problem(place, f"{name} is declared, but no step uses it: the build is refused", fix)


def _names(step: Step, name: str) -> bool:
    """Whether a step's script, arguments or variables hold a name, in whatever language."""
    lines = [step.script, *(line for place, line in texts(step.raw) if place[-1] != "script")]
    return any(re.search(rf"(?<![A-Za-z0-9_]){name}(?![A-Za-z0-9_])", line) for line in lines)


def _uses(line: str) -> Iterator[tuple[str, bool]]:
    """Yield the names in a text, and whether the text has a word for the case that the name is not set."""
    for match in USE.finditer(line):
        yield match[1] or match[2], bool(match[1]) and line.startswith(DEFAULTS, match.end())


def _sets(script: str, name: str) -> bool:
    """Whether a shell's script sets a variable itself."""
    whole = rf"(?<![\w$]){name}(?!\w)"
    return bool(re.search(rf"{whole}\+?=|\b(?:for|read|getopts|mapfile|readarray)\b[^\n;|&]*{whole}", script))


def _meant(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.8)
    return f"Write ${close[0]} if that is meant. " if close else ""
