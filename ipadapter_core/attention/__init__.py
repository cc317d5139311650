"""Attention to image tokens: tensors in, tensors out."""
