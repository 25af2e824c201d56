"""Rules that find the fields of a document's card in its file, without a model and without words of one trade."""
