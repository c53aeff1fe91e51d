"""The browser annotator: a folder of images, a page, a model, and a journal of every action."""
