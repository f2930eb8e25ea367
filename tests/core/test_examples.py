from PIL import Image

from deepinside.core.examples import packaged_examples


def test_the_package_brings_photos():
    found = packaged_examples()
    assert list(found) == ["cat.jpg", "coffee.jpg", "rocket.jpg"]
    for path in found.values():
        with Image.open(path) as image:
            image.load()
            assert min(image.size) >= 224
