"""Office documents: XML parts in a zip, read with lxml and mapped through `DocumentWriter`."""
