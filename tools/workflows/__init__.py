"""Writes the workflows in workflows/ and docs/examples/ anew from the tables here."""
