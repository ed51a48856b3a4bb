"""The model as a file others can run: ONNX, the proof that it is the same model, its latency, its card."""
