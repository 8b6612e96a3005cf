"""What the builder stage runs: fetch or import a model, pin it, prove it, and lay it out for the image.

Standard library and the pure modules of `probe_agent` only: the builder stage installs nothing.
"""
