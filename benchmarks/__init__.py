"""What the README claims, as commands: `python -m benchmarks [NAME ...]` measures it on this machine."""
