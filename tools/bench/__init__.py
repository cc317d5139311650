"""`python3 dev.py bench`: what an image prompt costs, beside the least that it could cost and beside another pack."""
