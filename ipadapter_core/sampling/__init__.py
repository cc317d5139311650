"""What is decided while a model samples: who is positive, how strong, when, and what a layer attends to."""
