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
    from collections.abc import Set as AbstractSet

# An even number of $ before it are escaped ones; a small letter after it makes the name a shell's own.
USE = re.compile(r"(?<!\$)(?:\$\$)*\$(?:\{(_[A-Z0-9_]++)(?![a-z])|(_[A-Z0-9_]++)(?![a-z]))")
DEFAULTS = re.compile(r":?[-=+]")
"""What follows a name in braces where the shell has a word for the case that it is not set."""
PROVIDED = frozenset({"_HEAD_BRANCH", "_BASE_BRANCH", "_HEAD_REPO_URL", "_PR_NUMBER"})
"""What Cloud Build gives to a pull request's build by itself (Cloud Build, substituting variable values)."""
SHELL = re.compile(r"(?!#!)|#!.*\b(?:ba|da|a|k|z)?sh\b")
"""How the script of a shell begins; without a first line that says otherwise it is one."""
IGNORED = re.compile(r"^\s*#.*$|\\.", re.MULTILINE)
"""Comments, and what is escaped."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step with its script without comments, and whether every substitution is one of its variables."""

    place: Place
    raw: dict[Any, Any]
    script: str
    shell: bool
    automap: bool

    @property
    def opaque(self) -> bool:
        """Whether it runs what its image runs by itself, which may read any variable."""
        return not (self.script or "args" in self.raw or "entrypoint" in self.raw)


def problems(build: dict[str, Any], options: Options) -> Iterator[Problem]:
    """Yield unknown names, names that a script does not get, and names that nobody uses; ALLOW_LOOSE forgives all.

    A build that a trigger starts is always ALLOW_LOOSE; one that is submitted by hand is not (Cloud Build's API).
    """
    build_options = mapping(build.get("options"))
    if text(build_options.get("substitutionOption")) == "ALLOW_LOOSE":
        return
    declared = {str(name): value for name, value in mapping(build.get("substitutions")).items()}
    steps = list(_steps(build, automap=build_options.get("automapSubstitutions") is True))
    known = PROVIDED | declared.keys() | options.substitutions.keys()
    yield from _unknown(build, known)
    common = _variables(build_options)
    for step in steps:
        if step.shell:
            yield from _in_script(step, known, common)
    yield from _unused(build, declared, steps)


def _steps(build: dict[str, Any], *, automap: bool) -> Iterator[Step]:
    for index, each in enumerate(items(build.get("steps"))):
        step = mapping(each)
        own = step.get("automapSubstitutions")
        script = text(step.get("script"))
        shell = SHELL.match(script) is not None
        yield Step(("steps", index), step, IGNORED.sub(" ", script), shell, own if isinstance(own, bool) else automap)


def _variables(holder: dict[Any, Any]) -> set[str]:
    """Return the names of the variables that a step, or the build's options, give."""
    named = {text(line).partition("=")[0] for line in items(holder.get("env"))}
    return named | {text(name) for name in items(holder.get("secretEnv"))}


def _substituted(build: dict[str, Any]) -> Iterator[tuple[Place, str]]:
    """Yield every text that Cloud Build puts substitutions into, but their own values."""
    for place, line in texts({name: part for name, part in build.items() if name != "substitutions"}):
        if place[-1] != "script":
            yield place, line


def _unknown(build: dict[str, Any], known: AbstractSet[str]) -> Iterator[Problem]:
    seen: set[str] = set()
    for place, line in _substituted(build):
        for name, _ in _uses(line):
            if name not in known and name not in seen:
                fix = f"Declare {name} under substitutions with a default, or write $${name} for the shell's own."
                reason = f"uses ${name}, which has no default: submitted by hand, the build is refused"
                yield Problem(place, reason, _meant(name, known) + fix)
            seen.add(name)


def _in_script(step: Step, known: AbstractSet[str], common: set[str]) -> Iterator[Problem]:
    """A script gets a substitution by name only where it is mapped; another name may be anybody's, or misspelt."""
    given = common | _variables(step.raw) | (known if step.automap else set())
    uses = list(_uses(step.script))
    given |= {name for name, has_default in uses if has_default}
    for name in dict.fromkeys(name for name, _ in uses):
        if name in given or _mentions(step.script, name):
            continue
        place = (*step.place, "script")
        if name in known:
            reason = f"the script reads ${name}, but substitutions are not put into scripts: it is empty there"
            fix = f"Set automapSubstitutions: true, or give the step env: ['{name}=${{{name}}}']."
            yield Problem(place, reason, fix)
        elif meant := _meant(name, known):
            reason = f"the script reads ${name}, which is no substitution, and does not set it: is it misspelt?"
            yield Problem(place, reason, meant.strip(), Severity.WARNING)


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
            yield Problem(
                place, f"{name} is declared, but no step uses it: submitted by hand, the build is refused", fix
            )


def _names(step: Step, name: str) -> bool:
    """Whether a step's script, arguments or variables hold a name, in whatever language."""
    lines = [step.script, *(line for place, line in texts(step.raw) if place[-1] != "script")]
    return any(re.search(rf"(?<![A-Za-z0-9_]){name}(?![A-Za-z0-9_])", line) for line in lines)


def _uses(line: str) -> Iterator[tuple[str, bool]]:
    """Yield the names in a text, and whether the text has a word for the case that the name is not set."""
    for match in USE.finditer(line):
        yield match[1] or match[2], bool(match[1] and DEFAULTS.match(line, match.end()))


def _mentions(script: str, name: str) -> bool:
    """Whether a script has a name without a $ before it: it sets, reads or exports it as its own."""
    return re.search(rf"(?<![\w${{]){name}(?!\w)", script) is not None


def _meant(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.8)
    return f"Write ${close[0]} if that is meant. " if close else ""
