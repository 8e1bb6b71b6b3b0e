"""Training of the demo's two models on synthetic pictures, and their evaluation."""
