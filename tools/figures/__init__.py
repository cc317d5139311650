"""Makes the attention maps and the comparison of weights in docs/images anew, and prints the scores."""
