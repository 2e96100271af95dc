"""The networks decaf writes itself, one file per family."""
