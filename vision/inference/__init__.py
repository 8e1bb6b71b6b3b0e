"""Neural networks: detectors, embedders, and the backends that run them."""
