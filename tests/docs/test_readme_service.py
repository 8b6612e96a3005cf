"""The YAML that the README offers to readers for their own service."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SNIPPET = re.compile(r"^```yaml\n(.*?)^```", re.DOTALL | re.MULTILINE)
AROUND = """\
apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  name: my-service
spec:
  template:
    spec:
"""


def test_the_service_of_the_readme_has_no_findings(tmp_path: Path) -> None:
    """`ops lint` accepts a service that consists of the README's containers."""
    snippets = SNIPPET.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(snippets) == 1
    service = tmp_path / "my-service.yaml"
    service.write_text(AROUND + snippets[0], encoding="utf-8")

    command = [str(Path(sys.executable).parent / "ops"), "lint", "--strict", str(service)]
    run = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)

    assert run.returncode == 0, run.stdout + run.stderr
