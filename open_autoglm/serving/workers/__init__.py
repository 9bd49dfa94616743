"""What runs the model for the scheduler: processes that are replaced when they die, or threads of this one.

It knows batches and bundles; it knows nothing of queues or requests.
"""
