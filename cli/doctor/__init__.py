"""`mtmc doctor`: looks at everything that a site needs, and says what to do about what is wrong."""
