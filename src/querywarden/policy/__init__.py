"""May they? The policy language, its evaluation, its explanation and the built-in baseline."""
