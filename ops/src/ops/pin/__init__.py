"""`ops pin`: image digests put into a service's YAML."""
