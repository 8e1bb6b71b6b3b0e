"""Video input: files, network streams and local devices."""
