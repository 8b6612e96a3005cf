"""`ops lint`: what is wrong with a service.yaml or a cloudbuild.yaml, found offline."""
