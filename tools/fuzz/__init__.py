"""Tries thousands of broken and hostile inputs: each ends in one of our errors or in a right load."""
