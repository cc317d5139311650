"""What is in an IP-Adapter file, told from its key names and tensor shapes alone."""
