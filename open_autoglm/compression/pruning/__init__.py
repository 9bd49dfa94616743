"""Makes a model's towers smaller: units and weights that matter least go, and the rest learns to make up for them.

It knows the model; it knows nothing about bundles or graphs.
"""
