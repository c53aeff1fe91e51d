"""Types, geometry, the protocol, registries and errors. Imports torch, numpy and OpenCV only."""
