"""Pictures in, feature sets out; reading, slicing and exporting them."""
