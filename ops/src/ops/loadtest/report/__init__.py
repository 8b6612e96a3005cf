"""The report of a load test: one HTML file, and its plots as SVG and PNG."""
