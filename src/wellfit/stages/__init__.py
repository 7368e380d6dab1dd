"""What each stage does, from top to bottom; each is a script in ``pipelines/``. No library imports from here."""
