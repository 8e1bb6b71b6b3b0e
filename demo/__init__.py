"""A synthetic multi-camera road site with exact truth: scene, renderer, videos."""
