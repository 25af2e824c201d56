"""Other systems on the same benchmark folder, model and budget; see README.md."""
