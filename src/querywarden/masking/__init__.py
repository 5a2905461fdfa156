"""What may they see? Classes of data, the column classifier, mask operators and the plan of masks for a result."""
