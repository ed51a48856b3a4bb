"""The one way from an image to logits, whoever asks.

A runner (torch here, ONNX Runtime in `deployment`), tiling, and the runtime that it all runs under.
"""
