"""Writes locales and docs from the code and says what is missing; --check only looks, --images draws anew."""
