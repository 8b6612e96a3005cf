"""What the operator asks for (`Options`) and reads (`Finding`)."""

from dataclasses import dataclass

from ops.service.problem import Severity


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator asks for: whether the file is to be deployed as it is, and the GPUs that the region grants."""

    deploy: bool = False
    gpu_quota: int = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem with its rule and its line, counted from 1."""

    rule: str
    severity: Severity
    file: str
    line: int
    path: str
    reason: str
    fix: str
