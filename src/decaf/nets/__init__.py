"""What a network is: an ONNX file with metadata, its layers, and where its parameters come from."""
