"""The agent's HTTP endpoints: probes, status, metrics, page."""
