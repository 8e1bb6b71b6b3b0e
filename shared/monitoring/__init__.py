"""What a process says of itself over HTTP: its figures, and whether it works."""
