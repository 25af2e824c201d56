"""All hostile files, in one list."""

from tests.support.hostile import Hostile
from tests.support.hostile.archives import ARCHIVES
from tests.support.hostile.mails import MAILS
from tests.support.hostile.markup import MARKUP
from tests.support.hostile.office import OFFICE
from tests.support.hostile.pdfs import PDFS

HOSTILE_FILES: tuple[Hostile, ...] = (*ARCHIVES, *MAILS, *MARKUP, *OFFICE, *PDFS)
