"""Published models: the manifest, downloading, verifying, benchmarking."""
