"""The list of model files is whole and pins what it names."""

import re

import pytest

from retrieval.models import manifest
from retrieval.models.manifest import HubAddress, ModelFile, PackageAddress, load_model_file, load_model_files


@pytest.fixture(params=load_model_files(), ids=lambda file: file.name)
def file(request: pytest.FixtureRequest) -> ModelFile:
    assert isinstance(request.param, ModelFile)
    return request.param


def test_every_named_file_is_listed() -> None:
    names = {manifest.EMBEDDING_ONNX, manifest.EMBEDDING_TOKENIZER, manifest.LANGUAGE_GGUF}

    assert {file.name for file in load_model_files()} == names


def test_an_unknown_name_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        load_model_file("other.gguf")


def test_a_name_is_a_plain_file_name(file: ModelFile) -> None:
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]+", file.name)


def test_content_licence_and_publisher_are_stated(file: ModelFile) -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)
    assert file.size_bytes > 0
    assert file.licence == "Apache-2.0"
    assert file.publisher


def test_the_hub_comes_before_the_packages(file: ModelFile) -> None:
    kinds = [type(address) for address in file.addresses]

    assert kinds in ([HubAddress, PackageAddress], [PackageAddress])


def test_a_hub_address_names_a_revision_that_cannot_move(file: ModelFile) -> None:
    for address in file.addresses:
        if isinstance(address, HubAddress):
            assert re.fullmatch(r"https://huggingface\.co/[\w.-]+/[\w.-]+/resolve/[0-9a-f]{40}/[\w./-]+", address.url)


def test_pieces_add_up_to_the_file_and_name_one_version_each(file: ModelFile) -> None:
    for address in file.addresses:
        if isinstance(address, PackageAddress):
            assert sum(piece.size_bytes for piece in address.pieces) == file.size_bytes
            assert all(re.fullmatch(r"[a-z0-9-]+==[0-9.]+", piece.requirement) for piece in address.pieces)
            if len(address.pieces) == 1:
                assert address.pieces[0].sha256 == file.sha256
