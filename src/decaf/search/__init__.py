"""Find pictures by their features: the nearest ones, duplicates, groups."""
