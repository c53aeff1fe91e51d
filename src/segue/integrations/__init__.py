"""segue inside the tools that people already use: Label Studio, napari."""
