"""Training from a recipe: preflight, trainer and report.

It joins data, objectives and the model; it knows nothing about search and serving.
"""
