"""What an adapter file is, told from its keys and shapes; a file format is a row in `*_formats.py`."""
