"""A service.yaml: read once, lenient or strict, with the place of every value, and edited without losing a comment."""
