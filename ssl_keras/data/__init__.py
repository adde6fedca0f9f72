"""Images, and batches of their views."""
