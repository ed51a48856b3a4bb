"""The registered model: encoded images in, masks or labels out, around the exported ONNX file."""
