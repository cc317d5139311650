"""What lies in the model folders, told from the files' headers, and which of it a preset means."""
