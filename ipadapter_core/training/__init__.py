"""Training of adapters on a frozen base model."""
