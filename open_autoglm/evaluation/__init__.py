"""What a model or an index is worth: metrics of retrieval, classification and calibration, and nothing else."""
