"""The prompt cache that the image's build saved, restored into the runner's slots."""
