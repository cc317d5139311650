"""What an adapter did: attention maps, traces, scores, comparisons of weights."""
