"""Office-31 and Office-Caltech10: domain adaptation as in the DeCAF paper, section 4.2 and Table 1."""
