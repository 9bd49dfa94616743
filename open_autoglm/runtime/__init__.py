"""Runs bundles without PyTorch: pictures, texts, graphs, similarity and the model that joins them.

It knows the bundle and the exceptions, and nothing else of the package.
"""
