"""Parameters and networks in other formats: files are data, and nothing of them is executed."""
