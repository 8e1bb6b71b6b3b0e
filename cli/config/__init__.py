"""`mtmc config`: check, show, publish and import site files."""
