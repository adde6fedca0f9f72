"""Run folders to pages."""
