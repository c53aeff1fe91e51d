"""Other tools' files: one module a format, each read and written one image at a time."""
