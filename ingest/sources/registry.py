"""The kinds of sources. An adapter loads its libraries when it is built, so importing this module is cheap."""

from collections.abc import Mapping

from ingest.sources.buckets import AZURE, GCS, S3
from ingest.sources.folder import FOLDER
from ingest.sources.git import GIT
from ingest.sources.loader import LOADER
from ingest.sources.mailbox import MAILBOX
from ingest.sources.port import SourceKind
from ingest.sources.slack_channels import SLACK_CHANNELS
from ingest.sources.web import WEB
from ingest.sources.webdav import WEBDAV

SOURCE_KINDS: Mapping[str, SourceKind] = {
    kind.name: kind for kind in (AZURE, FOLDER, GCS, GIT, LOADER, MAILBOX, S3, SLACK_CHANNELS, WEB, WEBDAV)
}
