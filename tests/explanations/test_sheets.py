"""Sheets: the arrays, boxes and words in their panels, for photos whose results are worked out by hand."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from deepinside.core.errors import DeepInsideError
from deepinside.core.geometry import Box, Frame
from deepinside.core.images import Photo
from deepinside.core.results import Contrast, Detection, Explanation, Saliency, Segmentation, Side
from deepinside.explanations import sheets
from deepinside.explanations.by_color import Paper
from deepinside.explanations.by_features import Best
from deepinside.explanations.presets import name_of
from deepinside.explanations.results import Reconstruction
from third_localizer import Bright

RED, BLUE = (230, 57, 70), (58, 134, 255)


@pytest.fixture
def photo():
    """60 x 40 pixels of noise, small enough to be shown as it is."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    return Photo(Image.fromarray(pixels), "album/tom.jpg")


def detection(*, label="tabby", index=281, with_boxes=True, frame=None):
    """On a 4 x 4 grid over the central square, columns 10 to 49: a cell is 10 x 10 photo pixels."""
    mask, foreground, background = np.zeros((3, 4, 4), bool)
    mask[1:3, 1:4] = True
    foreground[1, 2] = True
    background[3, 0] = True
    values = np.arange(16, dtype=np.float32).reshape(4, 4)
    frame = frame or Frame.center(60, 40, width=4, height=4)
    found = Segmentation(frame, mask, foreground, background, 0.0) if with_boxes else None
    return Detection(index, label, "n02123045", 9.0, 0.756, frame, values, found)


def explanation(*objects):
    return Explanation("album/tom.jpg", 60, 40, "lite0", "best", objects)


def reconstruction(rule, gradient=None, target="tabby"):
    values = np.zeros((3, 4, 4), np.float32) if gradient is None else gradient
    frame = Frame.center(60, 40, width=4, height=4)
    return Reconstruction(
        target=target, rule=rule, score=3.14159, frame=frame, gradient=values, rectifiers={}, others={}
    )


def shown(axes, number=0):
    return axes.images[number].get_array()


def boxes_in(axes):
    """The color and the corners of each outline that is not the white one under it."""
    for patch in axes.patches:
        *color, _ = (round(255 * channel) for channel in patch.get_edgecolor())
        if tuple(color) != (255, 255, 255):
            x, y = patch.get_xy()
            yield tuple(color), (x + 0.5, y + 0.5, x + 0.5 + patch.get_width(), y + 0.5 + patch.get_height())


def panels(figure, columns):
    return np.reshape(np.array(figure.axes, dtype=object), (-1, columns))


def test_a_sheet_shows_itself_in_a_notebook_without_pyplot(photo):
    sheet, same = (sheets.localization_sheet(photo, explanation(detection())) for _ in range(2))
    with Image.open(BytesIO(sheet._repr_png_())) as shown:
        np.testing.assert_array_equal(np.asarray(shown.convert("RGB")), np.asarray(sheets.rendered(same)))


# ------------------------------------------------------------------------------------------------------ localization


def test_localization_sheet_shows_outline_box_map_seeds_and_mask_of_each_class(photo):
    told = explanation(detection(), detection(label="tiger cat", index=282))
    grid = panels(sheets.localization_sheet(photo, told), 4)
    assert [axes.get_title() for axes in grid[0]] == ["outline and box", "saliency", "seeds", "mask"]
    assert [row[0].get_ylabel() for row in grid] == ["tabby\n75.6%", "tiger cat\n75.6%"]
    first, saliency, seeds, mask = grid[0]
    np.testing.assert_array_equal(shown(first), photo.pixels)
    assert list(boxes_in(first)) == [(RED, (20, 10, 50, 30))]
    assert len(first.collections) == 1, "one outline"
    values = shown(saliency).filled(np.nan)
    assert np.isnan(values[:, :10]).all()
    assert np.isnan(values[:, 50:]).all()
    np.testing.assert_array_equal(values[:, 10:50], detection().saliency[:, 10:50])
    painted, found = shown(seeds), detection().segmentation
    np.testing.assert_array_equal((painted == RED).all(axis=2), found.frame.mask_to_photo(found.foreground_seeds))
    np.testing.assert_array_equal((painted == BLUE).all(axis=2), found.frame.mask_to_photo(found.background_seeds))
    inside, cut = np.s_[10:30, 25:45], shown(mask)
    np.testing.assert_array_equal(cut[inside], photo.pixels[inside])
    assert (cut[:10] == cut[:10, :, :1]).all(), "gray outside the mask"


def test_several_objects_of_a_class_are_in_one_row(photo):
    several = explanation(detection(), detection(), detection(), detection(label="tiger cat", index=282))
    for sheet, columns in ((sheets.localization_sheet, 4), (sheets.saliency_sheet, 3)):
        grid = panels(sheet(photo, several), columns)
        assert [row[0].get_ylabel() for row in grid] == ["tabby\n75.6%", "tiger cat\n75.6%"]
    (first, *_), (other, *_) = panels(sheets.localization_sheet(photo, several), 4)
    assert [len(axes.collections) for axes in (first, other)] == [3, 1]
    assert [text.get_text() for text in first.texts] == ["3", "2", "1"]


def test_the_color_scale_ends_at_a_quantile_of_the_positive_values(photo):
    saliency = panels(sheets.localization_sheet(photo, explanation(detection())), 4)[0, 1]
    values = detection().saliency
    assert saliency.images[0].get_clim() == pytest.approx((0, np.quantile(values[values > 0], 0.995)))


def test_a_large_photo_is_reduced_and_its_box_with_it():
    large = Photo(Image.new("RGB", (1200, 800), "gray"))
    found = detection(frame=Frame.center(1200, 800, width=4, height=4))
    first = panels(sheets.localization_sheet(large, explanation(found)), 4)[0, 0]
    assert shown(first).shape == (320, 480, 3)  # 0.4 of the photo; the region is columns 200 to 999
    assert list(boxes_in(first)) == [(RED, (160, 80, 400, 240))]
    assert found.box == Box(400, 200, 1000, 600)


def test_saliency_alone_has_no_localization_sheet(photo):
    with pytest.raises(DeepInsideError, match="expected an explanation with boxes for this sheet"):
        sheets.localization_sheet(photo, explanation(detection(with_boxes=False)))


# ---------------------------------------------------------------------------------------------------------- saliency


def test_saliency_sheet_shows_photo_map_and_both(photo):
    grid = panels(sheets.saliency_sheet(photo, explanation(detection(with_boxes=False))), 3)
    assert [axes.get_title() for axes in grid[0]] == ["photo", "saliency", "both"]
    both = grid[0, 2]
    np.testing.assert_array_equal(shown(both, 1), detection().saliency)
    values = detection().saliency
    brightest = np.quantile(values[values > 0], 0.995)
    np.testing.assert_allclose(both.images[1].get_alpha(), np.sqrt(np.clip(values / brightest, 0, 1)), rtol=1e-6)


def test_save_map_is_gray_from_zero_to_the_brightest_quantile(tmp_path):
    values = np.arange(2000, dtype=np.float32).reshape(40, 50)
    path = sheets.save_map(values, tmp_path / "new" / "map.png")
    with Image.open(path) as image:
        assert image.mode == "L"
        pixels = np.asarray(image).astype(int)
    expected = np.clip(values / np.quantile(values[values > 0], 0.995), 0, 1) * 255
    assert abs(pixels - expected).max() <= 0.5
    assert (pixels.min(), pixels.max()) == (0, 255)


def test_a_map_of_zeros_is_black(tmp_path):
    with Image.open(sheets.save_map(np.zeros((5, 6), np.float32), tmp_path / "map.png")) as image:
        assert not np.asarray(image).any()


# ---------------------------------------------------------------------------------------------------- neurons, rules


def test_neuron_sheet_shows_the_sign_in_color(photo):
    gradient = np.zeros((3, 4, 4), np.float32)
    gradient[0], gradient[2] = 2.0, -2.0
    left, middle, right = sheets.neuron_sheet(photo, reconstruction("guided", gradient, "features.9:40")).axes
    assert left.get_ylabel() == "features.9:40\n3.14"
    assert middle.get_title() == "guided"
    color = shown(middle)
    np.testing.assert_allclose(color[:, 10:50], np.broadcast_to([1, 0.5, 0], (40, 40, 3)), atol=1e-6)
    np.testing.assert_allclose(color[:, :10], 0.5, atol=1e-6)
    np.testing.assert_allclose(shown(right)[:, 10:50], 2)


@pytest.mark.parametrize(("channels", "colored"), [(1, [1, 1, 1]), (2, [1, 1, 1]), (5, [1, 0, 0.5])])
def test_other_channels_are_shown_in_gray_or_by_the_first_three(photo, channels, colored):
    gradient = np.zeros((5, 4, 4), np.float32)
    gradient[0], gradient[1], gradient[3] = 2.0, -2.0, 2.0
    _, middle, _ = sheets.neuron_sheet(photo, reconstruction("guided", gradient[:channels], "features.9:40")).axes
    np.testing.assert_allclose(shown(middle)[0, 20], colored, atol=1e-6)


def test_compare_sheet_shows_each_rule_with_its_formula_and_why_one_is_missing(photo):
    missing = DeepInsideError("expected rectifiers for the rule 'guided', but the forward pass met none")
    rules = {"gradient": reconstruction("gradient"), "deconvnet": reconstruction("deconvnet"), "guided": missing}
    grid = panels(sheets.compare_sheet(photo, rules, {}), 4)
    assert grid.shape == (2, 4)
    assert [axes.get_title() for axes in grid[0]] == ["photo", "gradient", "DeconvNet", "guided"]
    assert "1(X > 0)" in grid[1, 1].get_xlabel()
    assert grid[1, 2].get_xlabel().startswith("R = R' · 1(R' > 0)\n")
    (text,) = grid[0, 3].texts
    assert text.get_text().replace("\n", " ") == str(missing)
    assert not grid[0, 3].images
    assert not grid[1, 3].images


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (2, 1), (3, 2), (5, 3)])
def test_compare_sheet_has_room_for_any_number_of_presets(photo, count, rows):
    presets = {f"p{number}": (detection(),) * (1 + number) for number in range(count)}
    grid = panels(sheets.compare_sheet(photo, {rule: reconstruction(rule) for rule in sheets.RULES}, presets), 4)
    assert len(grid) == 2 + rows
    flat = list(grid[2:].flat)
    labels = [f"preset p{number}: {kind}" for number in range(count) for kind in ("saliency", "outline and box")]
    assert [axes.get_xlabel() for axes in flat[: 2 * count]] == labels
    for number, axes in enumerate(flat[1 : 2 * count : 2]):
        assert [corners for _, corners in boxes_in(axes)] == [(20, 10, 50, 30)] * (1 + number)
        assert len(axes.collections) == 1 + number
    assert not any(axes.axison for axes in flat[2 * count :])


def test_contrast_sheet_has_both_maps_on_one_scale(photo):
    found = detection()
    strong, weak = (replace(found, map=np.full_like(found.map, value)) for value in (4.0, 1.0))
    sides = [
        Side(0, label, 1.0, 0.5, Saliency(each.frame, each.map), (each,))
        for label, each in (("a", strong), ("b", weak))
    ]
    grid = panels(sheets.contrast_sheet(photo, Contrast("photo", "m", "softmax", *sides, ())), 2)
    assert grid.shape == (2, 2)
    assert [axes.get_ylabel().splitlines()[0] for axes in grid[:, 0]] == ["a", "b"]
    assert [axes.images[0].get_clim() for axes in grid[:, 1]] == [(0, 4)] * 2
    assert [len(list(boxes_in(axes))) for axes in grid[:, 0]] == [1, 1]


def test_exciting_sheet_crops_each_photo_to_what_the_neuron_saw(photo):
    seen = np.zeros((3, 4, 4), np.float32)
    seen[1, 1:3, 2] = -1
    figure = sheets.exciting_sheet([(photo, reconstruction("deconvnet", seen)), (photo, reconstruction("deconvnet"))])
    left, right, other, _ = figure.axes
    np.testing.assert_array_equal(shown(left), photo.pixels[10:30, 30:40])
    assert shown(right).shape == (20, 10, 3)
    np.testing.assert_array_equal(shown(other), photo.pixels[:, 10:50])  # all of the region, where nothing excites
    assert left.get_title() == "tom  3.1"
    assert figure.get_suptitle() == "What excites tabby most, and its gradient at the image (DeconvNet)"


# ------------------------------------------------------------------------------------------------------------ captions


def about(figure):
    """The line at the bottom."""
    return figure.get_supxlabel().replace("\n", " ").split("  ·  ")


@pytest.mark.parametrize(("localizer", "taken", "shown"), [
    (Best(), "preset best, rule gradient, at two deep layers", "logits of the whole photo"),
    (Paper(), "preset paper, rule gradient, at the image", "mean logits of ten crops"),
    (Paper(layer="a.1", rule="guided"), "Paper(layer='a.1', rule='guided'), rule guided, at a.1",
     "mean logits of ten crops"),
    (Bright(), "Bright(), the brighter half", "mean logits of ten crops"),
])  # fmt: skip
@pytest.mark.parametrize("sheet", [sheets.localization_sheet, sheets.saliency_sheet])
def test_a_sheet_says_how_it_was_made_and_what_a_probability_is(photo, sheet, localizer, taken, shown):
    name, found = name_of(localizer), (detection(),)
    figure = sheet(photo, Explanation("tom.jpg", 60, 40, "lite0", name, found, "sigmoid", localizer.about))
    assert about(figure) == ["lite0", taken, f"probability: sigmoid of the {shown}"]


def test_the_other_sheets_say_so_too(photo):
    seen = reconstruction("guided")
    assert about(sheets.neuron_sheet(photo, seen, "lite0"))[:2] == ["lite0", "rule guided, at the image"]
    assert about(sheets.exciting_sheet([(photo, seen)], "lite0"))[:2] == ["lite0", "rule guided"]
    rules, presets = {"gradient": reconstruction("gradient")}, {"best": (detection(),), "paper": (detection(),)}
    told = about(sheets.compare_sheet(photo, rules, presets, "lite0"))
    assert told[0] == "lite0"
    assert "preset paper, rule gradient, at the image" in told


LABELS = ["$x^2$", "$\\frac{1}{0}$", "from $5 to $7", "W" * 90, "a label of many words " * 9, "\x1b[2J", "a\nb"]


def words(figure):
    """All that is written, but for the ticks."""
    yield from (each for each in figure.texts if each.get_text())
    for axes in figure.axes:
        yield from (each for each in (axes.title, *axes.texts) if each.get_text())
        if axes.axison:
            yield from (each.label for each in (axes.xaxis, axes.yaxis) if each.label.get_text())


@pytest.mark.parametrize(("label", "size"), [
    *((label, (60, 40)) for label in (*LABELS, "\udce9", "柴犬", "😀", "שלום", "[red]x[/red]", "")),
    *((label, size) for label in LABELS[3:5] for size in ((200, 20), (20, 200))),
])  # fmt: skip
def test_any_label_is_drawn_inside_the_sheet_and_says_what_it_is(label, size):
    photo = Photo(Image.new("RGB", size), label or "photo")
    frame = Frame.center(*size, width=4, height=4)
    objects = [detection(label=label, index=index, frame=frame) for index in (281, 281, 282)]
    told = Explanation("tom.jpg", *size, label, "best", tuple(objects))
    seen = Reconstruction(label, "guided", 3.14, frame, np.ones((3, 4, 4), np.float32), {}, {})
    figures = [sheets.localization_sheet(photo, told), sheets.saliency_sheet(photo, told)]
    figures += [sheets.neuron_sheet(photo, seen, label), sheets.exciting_sheet([(photo, seen)], label)]
    side = Side(0, label, 1.0, 0.5, Saliency(frame, np.ones((4, 4), np.float32)), told.objects)
    figures += [sheets.contrast_sheet(photo, Contrast("photo", label, "softmax", side, side, ()))]
    figures += [sheets.compare_sheet(photo, {"gradient": seen, "guided": DeepInsideError(label)}, {}, label)]
    for figure in figures:
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        whole = figure.bbox
        for text in words(figure):
            box = text.get_window_extent(canvas.get_renderer())
            assert whole.x0 - 1 <= box.x0 <= box.x1 <= whole.x1 + 1, text
            assert whole.y0 - 1 <= box.y0 <= box.y1 <= whole.y1 + 1, text
    caption = figures[0].axes[0].get_ylabel()
    assert caption.endswith("75.6%")
    if label in LABELS[:3]:
        assert "".join(caption.split()).startswith("".join(label.replace("$", r"\$").split()))


# ------------------------------------------------------------------------------------------------------------- files


def test_save_writes_a_png_and_its_folder(photo, tmp_path):
    figure = sheets.saliency_sheet(photo, explanation(detection()))
    path = sheets.save(figure, tmp_path / "new" / "sheet.png")
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.size == tuple((figure.get_size_inches() * figure.dpi).astype(int))
    (tmp_path / "file").write_text("")
    with pytest.raises(DeepInsideError, match="expected a place to write an image"):
        sheets.save(figure, tmp_path / "file" / "sheet.png")
