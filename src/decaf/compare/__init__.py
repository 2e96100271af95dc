"""How alike two representations of the same pictures are: arrays in, numbers out."""
