"""What the DeCAF paper did with features, as protocols anyone can repeat."""
