"""Find, decode and prepare pictures."""
