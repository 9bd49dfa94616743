"""The scheduler: jobs of many requests wait in one queue and run in batches, fairly among tenants, under a deadline.

It hands batches to whatever runs them (``workers``); it knows nothing of HTTP.
"""
