"""Turns a PyTorch model into a bundle: export, quantisation, parity, import of other checkpoints.

It alone knows both the PyTorch model and the runtime.
"""
