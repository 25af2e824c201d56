"""The faults that verifying the audit log finds, with their codes for the languages of the portal."""

from api.audit.schemas import VerificationOut
from api.languages.catalogue import Texts
from ingest.storage.audit.records import GENESIS, Anchor, ChainFault, ChainVerification
from ingest.storage.remarks import Remark


def test_a_fault_has_its_english_text_and_a_code_for_other_languages() -> None:
    fault = ChainFault(5, Remark("audit_entries_missing", first=5, last=7))
    shown = VerificationOut.from_verification(ChainVerification(4, Anchor(4, GENESIS), (fault,)))
    (found,) = shown.model_dump(mode="json")["faults"]
    assert (found["sequence"], found["detail"]) == (5, "entries 5 to 7 are missing")
    said = Texts("de").translate_remark(found["coded_detail"], found["detail"])
    assert said == "Die Einträge 5 bis 7 fehlen."
