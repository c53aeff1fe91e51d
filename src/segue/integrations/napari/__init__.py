"""segue in napari: clicks and boxes on any slice become labels."""
