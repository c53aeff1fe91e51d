"""Types, geometry, the protocol, registries and errors. Imports torch and numpy only."""
