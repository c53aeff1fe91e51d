from segue.data.formats.registry import open_data


def test_objects_are_groups_and_the_first_image_is_the_reference(shared):
    data = open_data(shared / "data" / "oneshot")
    assert data.format == "perseg"
    assert [s.id for s in data.samples[:3]] == ["cat/00", "cat/01", "cat/02"]
    assert {s.group for s in data.samples} == {"cat", "colorful_sneaker", "duck_toy"}
    _, target = data.samples[0].read()
    assert target.annotations[0].name == "cat"
    assert target.annotations[0].mask.any()
