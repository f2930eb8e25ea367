"""Which class of a network an annotation is, and which one is asked about."""

from deepinside.core.geometry import Box
from deepinside.core.labels import Labels, imagenet
from deepinside.data.boxes import Annotation
from deepinside.evaluation.classes import asked_of, class_of, classes_of


def test_class_of_a_thing_prefers_the_wordnet_id_and_distrusts_numbers():
    labels, box = Labels((("tabby",), ("crane",)), ("n00000001", "n00000002")), Box(0, 0, 1, 1)
    assert class_of(Annotation(box, wnid="n00000002", name="tabby", index=0), labels) == 1
    assert class_of(Annotation(box, name="tabby", index=1), labels) == 0
    assert class_of(Annotation(box, wnid="n9", name="boat", index=1), labels) is None, "another data set's numbers"
    assert class_of(Annotation(box, index=1), labels) == 1
    assert class_of(Annotation(box, wnid="n9", index=7), Labels()) == 7


def test_class_of_a_thing_that_is_called_by_a_number():
    """The name first; a number is an index only where no class is called by one."""
    box = Box(0, 0, 1, 1)
    digits = Labels.of(["1", "2", "3", "4", "5"])
    assert class_of(Annotation(box, name="3"), digits) == 2
    assert class_of(Annotation(box, name="0"), digits) is None
    assert class_of(Annotation(box, name="1355869"), Labels.of(["1355868", "1355869"])) == 1
    assert class_of(Annotation(box, name="1"), Labels.of(["cat", "dog"])) == 1


def test_an_annotation_counts_for_all_imagenet_classes_that_it_lists():
    box = Box(0, 0, 1, 1)
    dog = Annotation(box, name="dog", imagenet=(151, 152, 207))
    assert classes_of(dog, imagenet()) == (151, 152, 207)
    names = imagenet()
    shuffled = Labels((("dog",), names.synonyms[207], names.synonyms[151]), ("n0", names.wnids[207], names.wnids[151]))
    assert classes_of(dog, shuffled) == (2, 1), "by their WordNet ids, in the order of the list"
    assert classes_of(dog, Labels()) == (151, 152, 207), "a network without labels is taken to have this order"
    assert classes_of(dog, Labels.of(["cat", "dog"])) == (1,), "its own name for a network with none of them"
    assert classes_of(Annotation(box, name="dog"), imagenet()) == ()


def test_the_class_asked_about_is_the_one_ranked_first_or_the_largest():
    small, large = Annotation(Box(0, 0, 1, 1)), Annotation(Box(0, 0, 9, 9))
    assert asked_of([3, 8, 5], {5: [large], 8: [small]}) == 8
    assert asked_of([3], {5: [small, large], 8: [small]}) == 5
    ranking = [0, 1, 2, 3, 4, 9, 7, 5]
    assert asked_of(ranking, {8: [small], 5: [large], 7: [large]}) == 7, "the likelier of two of the largest box"
    assert asked_of(ranking, {9: [small], 5: [large]}) == 5, "the sixth is not predicted"
    assert asked_of([3], {8: [small], 6: [large], 5: [large]}) == 6
