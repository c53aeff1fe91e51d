"""A family of models that lives outside segue: one folder and one row."""

from segue.models.entry import Card, ModelEntry

TOY = ModelEntry(
    "toy_family.model:Toy",
    "two convolutions that a click steers",
    config={"channels": 16},
    tiny={"channels": 4},
    card=Card("https://example.org/toy", "MIT"),
)
