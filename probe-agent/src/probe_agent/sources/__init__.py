"""Where a model comes from: the image (nothing to do), a mounted bucket, a parallel download, or a pull."""
