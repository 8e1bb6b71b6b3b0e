"""Networks: detection and embedding, and the backends that run them."""
