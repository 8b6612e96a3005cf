"""`python3 -m bake`: build arguments in the environment, the layout in $OUT, exit status 1 and one line on failure."""

import os
import sys

from bake.errors import BakeError
from bake.settings import read_settings
from bake.steps import bake, say


def main() -> int:
    """Return the exit status."""
    try:
        image = bake(read_settings(os.environ))
    except BakeError as error:
        print(f"bake: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"bake: files: {error}: it cannot go on; check the builder's disk space and rights", file=sys.stderr)
        return 1
    say(f"{image.model} {image.digest[:12]} {image.quantization}, {image.size_bytes / 1e6:,.0f} MB: laid out")
    return 0


if __name__ == "__main__":
    sys.exit(main())
