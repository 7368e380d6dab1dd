"""What each stage does, from top to bottom; each is a command in ``commands/``. No library imports from here."""
