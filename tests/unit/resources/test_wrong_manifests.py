import pytest

from ordinaut.errors import Invalid
from ordinaut.resources import yamldocs
from ordinaut.resources.manifest import parse
from tests.wrong_manifests.catalog import WRONG_MANIFESTS, WrongManifest


@pytest.mark.parametrize("wrong", WRONG_MANIFESTS, ids=lambda wrong: wrong.path.stem)
def test_the_model_refuses_with_the_words_in_the_file(wrong: WrongManifest) -> None:
    (document,) = yamldocs.read(wrong.text, source=wrong.path.name)
    with pytest.raises(Invalid) as refused:
        parse(document.data)
    assert wrong.refusal in str(refused.value)


def test_there_are_at_least_twenty() -> None:
    assert len(WRONG_MANIFESTS) >= 20
