"""Removes each guard in a copy of the tree and runs the test that is named for it, which must then fail.

python -m tests.faults.remove_guards              all of them
python -m tests.faults.remove_guards fence        one of them
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_PARTS = ("api", "deploy", "ingest", "retrieval", "rlm", "workers", "tests", "pyproject.toml")


@dataclass(frozen=True)
class Guard:
    """`text` in `file` is what guards; `without` takes its place; `test` must fail then."""

    name: str
    file: str
    text: str
    without: str
    test: str


GUARDS = (
    Guard(
        "a collection that is not there is not asked",
        "api/asking.py",
        "if names and (claim is None or not claim.is_repeat):",
        "if not names:",
        "tests/integration/test_search_api.py::test_a_collection_that_is_not_there_is_said_to_be_none",
    ),
    Guard(
        "a collection that is closed looks like one that is not there",
        "ingest/catalog/collections.py",
        "set(connection.execute(query).scalars()) - closed_collections(connection, tenant_id, readers)",
        "set(connection.execute(query).scalars())",
        "tests/security/test_collection_roles.py"
        "::test_searches_listings_counts_and_contents_show_a_collection_to_those_granted_alone",
    ),
    Guard(
        "a response that is not stored is not kept",
        "api/asking.py",
        "if not self._is_kept:",
        "if False:",
        "tests/integration/test_openai_clients.py::test_a_response_that_is_not_stored_is_found_by_nobody",
    ),
    Guard(
        "a part of a message that is no text is not passed over",
        "api/openai/asked.py",
        "if part.type not in (*_TEXT_PARTS, _REFUSAL):",
        "if False:",
        "tests/integration/test_openai_clients.py::test_a_part_that_is_no_text_is_refused_by_name",
    ),
    Guard(
        "an empty file of a secret is no secret",
        "api/cli/environment.py",
        'Path(file).read_text("utf-8").strip() or None',
        'Path(file).read_text("utf-8").strip()',
        "tests/unit/api/cli/test_environment.py::test_an_empty_file_is_as_if_it_were_not_named",
    ),
    Guard(
        "jobs of a paused kind call for no worker",
        "ingest/catalog/job_queue.py",
        "jobs.c.not_before <= clock(connection), ~paused)\n    if per_tenant",
        "jobs.c.not_before <= clock(connection))\n    if per_tenant",
        "tests/contract/test_catalog_queue.py::test_only_what_can_be_claimed_makes_the_queue_older",
    ),
    Guard(
        "an image is built on a pinned base",
        "deploy/cluster/build-images",
        "    *@sha256:*) ;;",
        "    *) ;;",
        "tests/unit/deploy/test_images.py::test_the_build_refuses_a_base_without_a_digest",
    ),
    Guard(
        "pods of a worker that parses reach no model",
        "deploy/chart/templates/network.yaml",
        '{{- if $is.asksModels }}{{ $to = append $to "models" }}{{ end }}',
        '{{ $to = append $to "models" }}',
        "tests/unit/deploy/test_chart.py::test_a_network_policy_holds_every_pod_to_what_it_needs",
    ),
    Guard(
        "a bucket that no pod may reach is refused",
        "deploy/chart/templates/network.yaml",
        "{{- if not .Values.network.external.bucket.ports }}",
        "{{- if false }}",
        "tests/unit/deploy/test_chart.py::test_values_that_cannot_work_are_refused_with_what_is_wrong",
    ),
    Guard(
        "the secret of a bucket is no plain setting",
        "deploy/chart/templates/config.yaml",
        "|_SECRET_ACCESS_KEY|",
        "|",
        "tests/unit/deploy/test_chart.py::test_a_secret_among_settings_is_refused",
    ),
    Guard(
        "an API process serves on until balancers have heard that it leaves",
        "api/cli/serving.py",
        "        await self._leave()\n",
        "",
        "tests/integration/test_http_protocol.py"
        "::test_who_leaves_serves_on_says_so_and_closes_each_connection_after_its_answer",
    ),
    Guard(
        "an answer of a process that leaves closes its connection",
        "api/middleware.py",
        "                if self._leaving():",
        "                if False:",
        "tests/integration/test_http_protocol.py"
        "::test_who_leaves_serves_on_says_so_and_closes_each_connection_after_its_answer",
    ),
    Guard(
        "beat ends on a signal that an error of its broker hides",
        "workers/main.py",
        "    beat.install_sync_handler = lambda _service: _end_on_signals()\n",
        "",
        "tests/unit/workers/test_beat.py"
        "::test_beat_ends_on_sigterm_also_where_an_error_of_the_broker_comes_over_the_signal",
    ),
    Guard(
        "an answer that the next release kept is read",
        "api/answer_schemas.py",
        '{**shown, **named}, extra="ignore")',
        "{**shown, **named})",
        "tests/unit/api/cli/test_answer_view.py"
        "::test_a_kept_answer_of_the_next_release_is_read_without_what_that_one_adds",
    ),
    Guard(
        "an index of the release before is filled with its own weights",
        "retrieval/open_generations.py",
        "self._open_sparse.get(generation.sparse) or self._sparse.of(generation.sparse)",
        "self._sparse",
        "tests/integration/generations/test_verify.py"
        "::test_an_index_of_the_release_before_is_filled_and_searched_with_its_own_weights_until_it_is_made_again",
    ),
    Guard(
        "sealed files that end early are not read",
        "ingest/sealed_blobs.py",
        "        if len(found) != end - start:  # frames are missing at the end\n            raise _changed(key)\n",
        "",
        "tests/integration/test_bucket.py::test_a_sealed_file_that_was_changed_is_never_read",
    ),
    Guard(
        "a service does not start over sealed files without a key",
        "ingest/blob_stores.py",
        "    if blobs.size(SEALED_NOTE) is not None:",
        "    if False:",
        "tests/integration/test_bucket.py::test_keys_that_are_missing_or_wrong_keep_a_service_from_starting",
    ),
    Guard(
        "a path that is not used is closed",
        "deploy/vllm/used_paths.py",
        'if scope["type"] != "http" or request not in USED:',
        "if False:",
        "tests/unit/deploy/test_vllm.py::test_everything_else_is_closed_with_the_key_too",
    ),
    Guard(
        "every path of a model server wants the key",
        "deploy/vllm/used_paths.py",
        "if self._expected is not None and not",
        "if False and not",
        "tests/unit/deploy/test_vllm.py::test_what_leadline_asks_for_is_open_to_who_has_the_key",
    ),
    Guard(
        "a model server listens on a private address",
        "deploy/vllm/start.py",
        "    return address.is_private and not address.is_unspecified",
        "    return True",
        "tests/unit/deploy/test_vllm.py::test_what_is_not_safe_is_refused_with_what_to_do",
    ),
    Guard(
        "a server that fails gets nothing while it rests",
        "rlm/llm/servers.py",
        "        if self._clock() < server.resting_until:\n            return False\n",
        "",
        "tests/integration/test_failover.py::test_a_busy_or_closing_server_gets_no_new_requests_for_as_long_as_it_asks",
    ),
    Guard(
        "what a reader has seen a part of is not written twice",
        "rlm/llm/request.py",
        "        return not shown and getattr",
        "        return getattr",
        "tests/integration/test_failover.py::test_an_answer_that_somebody_has_read_a_part_of_is_not_begun_anew",
    ),
    Guard(
        "who reads by a link sees nothing that rests on what is closed to the reader",
        "ingest/catalog/shares.py",
        "    if kept.id in closed:",
        "    if False:",
        "tests/security/test_access_lists.py"
        "::test_who_reads_by_a_link_sees_nothing_of_documents_that_are_closed_to_the_reader",
    ),
    Guard(
        "a run that was given more sees its budget as it was until it met it",
        "rlm/runs/raises.py",
        "(limits_of(each) for each in ((*run.raised, run.limits)[0], run.limits))",
        "(limits_of(each) for each in (run.limits, run.limits))",
        "tests/integration/test_paused_runs.py"
        "::test_a_paused_run_outlives_its_process_and_asks_nothing_twice_when_its_budget_is_raised",
    ),
    Guard(
        "records are named for the very rows that the query gave",
        "rlm/tables/sql_child.py",
        "        if len(row) != own + 1 + len(query.columns) or [_written(cell) for cell in row[:own]] != shown:",
        "        if False:",
        "tests/unit/rlm/tables/test_sql.py"
        "::test_a_result_comes_with_the_records_behind_its_rows_and_stays_what_it_is_without",
    ),
    Guard(
        "feedback names what the answer has",
        "ingest/catalog/feedback.py",
        "        if number not in there:",
        "        if False:",
        "tests/unit/api/test_feedback.py::test_feedback_names_what_the_answer_has",
    ),
    Guard(
        "a comment goes with what it may quote",
        "ingest/catalog/works.py",
        "    _redact_feedback(connection, answer_id)\n",
        "",
        "tests/contract/test_catalog_works.py::test_comments_on_what_rested_on_a_gone_version_are_redacted",
    ),
    Guard(
        "bytes of files are no leftovers",
        "ingest/catalog/leftovers.py",
        "for table in (versions, staged_entries, files):",
        "for table in (versions, staged_entries):",
        "tests/contract/test_catalog_files.py"
        "::test_bytes_of_a_file_are_known_to_upkeep_and_backups_until_they_are_removed",
    ),
    Guard(
        "files are their owners'",
        "ingest/catalog/files.py",
        "files.c.deleted_at.is_(None), _visible(caller)\n",
        "files.c.deleted_at.is_(None)\n",
        "tests/contract/test_catalog_files.py::test_a_file_is_its_owners_until_a_document_is_made_of_it",
    ),
    Guard(
        "documents of deleted files",
        "ingest/catalog/files.py",
        "    if connection.execute(select(files.c.id).where(*live)).first() is None:",
        "    if False:",
        "tests/contract/test_catalog_files.py::test_no_document_is_made_of_a_file_or_in_a_collection_that_is_not_there",
    ),
    Guard(
        "files of a deleted tenant",
        "ingest/catalog/tenant_data.py",
        '                connection.execute(update(files).where(*kept).values(name="", deleted_at=time.time()))\n',
        "",
        "tests/contract/test_catalog_tenant_data.py"
        "::test_of_a_deleted_tenant_nothing_is_left_but_its_entries_in_the_audit_log",
    ),
    Guard(
        "collections with documents that are closed to who deletes them",
        "ingest/catalog/collections.py",
        "~open_to(readers)).limit(1)",
        "documents.c.id.is_(None)).limit(1)",
        "tests/integration/test_collections.py::test_who_may_not_see_all_of_a_collection_may_not_delete_it",
    ),
    Guard(
        "admins of a restricted collection",
        "api/routes/collections.py",
        "if found.grants and role_of(caller, collection) is not Role.ADMIN:",
        "if False:",
        "tests/integration/test_collections.py::test_only_admins_of_a_restricted_collection_change_and_delete_it",
    ),
    Guard(
        "receipts of others' collections",
        "ingest/catalog/collections.py",
        "where(*of_name, owned_by(collection_deletions, owner))",
        "where(*of_name)",
        "tests/contract/test_catalog_files.py"
        "::test_a_collection_is_there_from_its_first_upload_grant_or_creation_until_it_is_deleted",
    ),
    Guard(
        "a strategy that is named",
        "api/asking.py",
        'if "strategy" in body.model_fields_set or len(body.collections) != 1:',
        "if len(body.collections) != 1:",
        "tests/unit/api/test_asking.py"
        "::test_a_question_to_one_collection_is_answered_by_its_default_unless_it_names_a_strategy",
    ),
    Guard(
        "others' files are not theirs to delete",
        "api/routes/openai_files.py",
        "if caller.sees_only not in (None, file.owner):",
        "if False:",
        "tests/integration/test_openai_stores.py::test_a_file_in_no_store_is_its_owners_alone_and_in_one_its_readers",
    ),
    Guard(
        "lines of a table of contents are no table",
        "ingest/parsing/pdf/aligned_tables.py",
        "    mark_contents(rows)\n",
        "",
        "tests/unit/ingest/test_pdf_tables.py::test_a_table_of_contents_without_dots_is_lines_and_no_table",
    ),
    Guard(
        "numbers below a header are no table of contents",
        "ingest/parsing/pdf/contents.py",
        "return _LEAST_BELOW_A_HEADER if is_header and is_near else _LEAST_LINES",
        "return _LEAST_LINES",
        "tests/unit/ingest/test_pdf_tables.py::test_numbers_that_grow_below_a_header_are_a_table",
    ),
    Guard(
        "a picture without text is no failed document",
        "ingest/parsing/mail.py",
        "if media_type in IMAGE_TYPES else",
        "if False else",
        "tests/unit/ingest/test_mail.py::test_small_pictures_of_a_message_are_told_without_reading_any",
    ),
    Guard(
        "tables take no more of a prompt than there is room",
        "rlm/tables/description.py",
        "if text and (not whole or added <= room):",
        "if text:",
        "tests/unit/rlm/tables/test_catalog.py::test_tables_without_room_are_shown_by_columns_and_the_rest_by_name",
    ),
    Guard(
        "one request at a time adds to an upload",
        "ingest/catalog/uploads.py",
        "            if row is not None and row.writer is not None and row.lease_until > now:\n"
        '                raise UploadTakenError("Another request is adding to this upload.")\n'
        "            if found",
        "            if found",
        "tests/integration/test_uploads.py::test_a_lease_that_ran_out_is_taken_by_the_next",
    ),
    Guard(
        "an upload is its sender's",
        "ingest/catalog/uploads.py",
        "mine = (uploads.c.tenant_id == tenant_id) & (uploads.c.owner == owner)",
        "mine = uploads.c.id.is_not(None)",
        "tests/integration/test_uploads.py::test_an_upload_is_its_senders_alone",
    ),
    Guard(
        "of an upload only what is recorded counts",
        "ingest/blobs.py",
        "            incoming.cut(size)\n            yield incoming",
        "            incoming._file.seek(0, 2)\n            yield incoming",
        "tests/integration/test_uploads.py::test_bytes_beyond_what_the_catalog_says_are_durable_are_cut_off",
    ),
    Guard(
        "uploads under way count on the quota of bytes",
        "ingest/catalog/uploads.py",
        'if standing.left - int(reserved if standing.of == "tenant" else by_key) < length:',
        "if standing.left < length:",
        "tests/integration/test_uploads.py::test_uploads_under_way_count_on_the_quota_of_bytes",
    ),
    Guard(
        "what a checksum does not cover is not kept",
        "api/routes/uploads.py",
        "        checksum.require()\n",
        "        pass\n",
        "tests/integration/test_uploads.py::test_a_wrong_offset_checksum_or_length_changes_nothing",
    ),
    Guard(
        "listings show what one may see",
        "ingest/catalog/listing.py",
        "mine = _row.tenant_id == tenant_id, listed_for(tenant_id, readers)",
        "mine = (_row.tenant_id == tenant_id,)",
        "tests/contract/test_catalog_listing.py::test_readers_see_in_every_listing_what_they_see_elsewhere",
    ),
    Guard(
        "many documents are opened by who may write them",
        "api/routes/listing.py",
        "        def open_to(identifier: str) -> None:\n            require_writable(served, caller, identifier)\n",
        "        def open_to(identifier: str) -> None:\n",
        "tests/integration/test_bulk.py"
        "::test_who_may_see_many_documents_is_changed_at_once_and_who_may_not_write_one_is_refused",
    ),
    Guard(
        "a bulk action leaves later documents alone",
        "ingest/catalog/listing.py",
        "_row.sequence > after, _row.sequence <= through",
        "_row.sequence > after",
        "tests/integration/test_bulk.py::test_all_that_match_are_deleted_in_steps_after_a_plan_says_what_goes",
    ),
    Guard(
        "no admin signs in an operator",
        "api/routes/users.py",
        "    require_right(caller, body.scopes)\n",
        "",
        "tests/integration/test_bulk.py"
        "::test_a_link_signs_a_user_in_once_with_its_scopes_and_all_of_its_sessions_end_together",
    ),
    Guard(
        "deleting a user ends its sessions",
        "ingest/catalog/users.py",
        '            end_sessions(connection, tenant_id, f"user:{user.name}")\n',
        "",
        "tests/contract/test_catalog_sessions.py::test_a_deleted_users_sessions_of_every_kind_end",
    ),
    Guard(
        "signing in leads back to this host alone",
        "api/portal/assets/sign_in.js",
        "to?.origin === location.origin ? to.href : '/'",
        "to.href",
        "tests/integration/portal/test_library.py"
        "::test_somebody_signs_in_with_a_key_and_out_everywhere_and_goes_on_where_they_were",
    ),
    Guard(
        "a file that was cancelled before its first part is not sent",
        "api/portal/assets/resumable.js",
        "    if (upload.state === 'cancelled') {",
        "    if (false) {",
        "tests/integration/portal/test_trouble.py"
        "::test_a_large_file_that_is_cancelled_before_its_first_part_is_not_sent",
    ),
    Guard(
        "the part of a text that was asked for last is shown",
        "api/portal/assets/document.js",
        "if (mine !== opened || begin !== to) return //",
        "//",
        "tests/integration/portal/test_trouble.py"
        "::test_the_part_of_a_text_that_was_asked_for_last_is_shown_whichever_comes_first",
    ),
    Guard(
        "a double click turns one page",
        "api/portal/assets/pager.js",
        "if (this.next !== this.cursor) this.cursors.push(this.next)",
        "this.cursors.push(this.next)",
        "tests/integration/portal/test_manage.py::test_the_log_is_filtered_turned_verified_and_exported",
    ),
    Guard(
        "webhooks reach no private address",
        "ingest/destinations.py",
        "        if not _is_public(address):\n",
        "        if False:\n",
        "tests/unit/ingest/test_destinations.py::test_what_is_not_public_is_refused_as_it_is_written",
    ),
    Guard(
        "each address of a webhook's name is checked",
        "ingest/destinations.py",
        "            self._require(destination, address)\n        return destination, addresses",
        "            pass\n        return destination, addresses",
        "tests/unit/ingest/test_destinations.py::test_a_name_is_judged_by_the_addresses_that_it_has",
    ),
    Guard(
        "a webhook's checked address is the one that is reached",
        "workers/webhooks.py",
        "return await self._post(http, due, destination, destination.url(addresses[-1]))",
        "return await self._post(http, due, destination, due.url)",
        "tests/integration/test_webhooks.py::test_a_name_is_looked_up_once_and_what_was_checked_is_what_is_reached",
    ),
    Guard(
        "webhooks follow no redirect",
        "workers/webhooks.py",
        "follow_redirects=False",
        "follow_redirects=True",
        "tests/integration/test_webhooks.py::test_a_redirect_is_not_followed",
    ),
    Guard(
        "webhooks ask no proxy of the environment",
        "workers/webhooks.py",
        "trust_env=False",
        "trust_env=True",
        "tests/integration/test_webhooks.py::test_a_proxy_of_the_environment_is_not_asked",
    ),
    Guard(
        "a message to a webhook has one sender at a time",
        "ingest/catalog/outbox.py",
        "                or_(deliveries.c.lease_until.is_(None), deliveries.c.lease_until < moment),\n",
        "",
        "tests/contract/test_catalog_webhooks.py::"
        "test_one_sender_holds_a_message_at_a_time_and_a_lost_one_is_followed_by_another -k sqlite",
    ),
    Guard(
        "a webhook is told of a thing once",
        "ingest/catalog/outbox.py",
        'key=f"{event}:{next(iter(subject.values()))}{change}"',
        "key=uuid.uuid4().hex",
        "tests/contract/test_catalog_webhooks.py::"
        "test_a_webhook_is_told_once_of_the_same_of_its_own_tenant_and_of_what_it_wants -k sqlite",
    ),
    Guard(
        "secrets of webhooks leave in no export",
        "ingest/catalog/tenant_rows.py",
        '"secret", "previous_secret", ',
        "",
        "tests/contract/test_catalog_webhooks.py::test_exports_have_webhooks_and_no_secret -k sqlite",
    ),
    Guard(
        "the client takes no heartbeat for an event",
        "api/client/calls.py",
        "        if not sent.data:",
        "        if False:",
        "tests/unit/api/client/test_both_clients.py::test_a_follower_comes_back_after_what_it_has_seen_until_the_end",
    ),
    Guard(
        "every protocol says where a citation stands",
        "api/openai/annotations.py",
        '"start_index": start,',
        '"start_index": start + 1,',
        "tests/integration/test_same_citations.py::test_every_protocol_cites_alike",
    ),
    Guard(
        "the client sends again only what does no harm",
        "api/client/retrying.py",
        "            return call.repeatable or not error.sent\n",
        "            return True\n",
        "tests/unit/api/client/test_both_clients.py::"
        "test_what_may_have_been_worked_on_is_sent_again_only_if_that_does_no_harm",
    ),
    Guard(
        "leaving a stream of the client closes its connection",
        "api/client/connections.py",
        "        finally:\n            response.close()\n\n    def followed",
        "        finally:\n            pass\n\n    def followed",
        "tests/unit/api/client/test_both_clients.py::test_leaving_a_stream_closes_its_connection",
    ),
    Guard(
        "a currency sign behind a number may be the next number's",
        "ingest/parsing/pdf/aligned_headers.py",
        "leads = signs_lead and is_currency(word.text)",
        "leads = False and is_currency(word.text)",
        "tests/unit/ingest/test_pdf_layout.py"
        "::test_years_are_a_header_and_a_sign_close_behind_a_number_is_that_of_the_next",
    ),
    Guard(
        "lines of one size that are far apart do not say how far lines of a text are",
        "ingest/parsing/pdf/blocks.py",
        " and is_full and distance <= _WIDEST * one.size",
        " and is_full",
        "tests/unit/ingest/test_pdf_layout.py"
        "::test_headings_of_one_size_on_lines_of_their_own_are_not_joined_however_many_there_are",
    ),
    Guard(
        "a title in large type is no running line",
        "ingest/parsing/pdf/furniture.py",
        "if not same or row.size > _LARGER * self._running[side, same[0]]:",
        "if not same:",
        "tests/unit/ingest/test_pdf_layout.py::test_a_title_in_large_type_is_none_of_the_running_lines_that_repeat_it",
    ),
    Guard(
        "a slide without a title ends the section of the slide before",
        "ingest/parsing/office/pptx.py",
        "        self.writer.end_section(level)\n",
        "",
        "tests/unit/ingest/test_pptx.py::test_a_slide_without_a_title_is_not_below_the_title_before_it",
    ),
    Guard(
        "rows of notes over a header are no header",
        "ingest/parsing/sheets/headers.py",
        "return count + _notes(block.rows[count:], block.columns)",
        "return count",
        "tests/unit/ingest/test_workbooks.py::test_notes_over_a_header_are_lines",
    ),
    Guard(
        "only the first row's years are a header",
        "ingest/parsing/pdf/tables.py",
        "not (number == 0 and _are_years",
        "not (_are_years",
        "tests/unit/ingest/test_pdf_layout.py::test_a_row_of_years_below_other_rows_is_no_header",
    ),
    Guard(
        "a request under way is not begun again under its key",
        "ingest/catalog/idempotency.py",
        "if row.lease_until > now:",
        "if False:",
        "tests/integration/test_idempotency.py::test_a_request_that_is_under_way_is_not_begun_again",
    ),
    Guard(
        "a key belongs to one request",
        "ingest/catalog/idempotency.py",
        "if row.request_sha256 != request_sha256:",
        "if False:",
        "tests/integration/test_idempotency.py::test_a_key_with_another_body_or_address_is_refused",
    ),
    Guard(
        "a key belongs to who sent it",
        "api/idempotency.py",
        'owner = f"{caller.key_id or caller.owner}\\0".encode() + key',
        "owner = key",
        "tests/integration/test_idempotency.py::test_a_key_of_another_has_nothing_to_do_with_it",
    ),
    Guard(
        "responses under keys are sealed",
        "api/idempotency.py",
        "return nonce + self._cipher.encrypt(nonce, content, None)",
        "return nonce + content",
        "tests/integration/test_idempotency.py::test_neither_keys_nor_responses_stand_readable_in_the_catalog",
    ),
    Guard(
        "an answer that is shown again is not a response that was kept",
        "api/asking.py",
        "        claim.shows_again = True\n",
        "",
        "tests/integration/test_idempotency.py::test_what_was_closed_to_the_caller_since_is_not_shown_again",
    ),
    Guard(
        "a process in which threads compute ends without Python's own end",
        "api/cli/serving.py",
        "if any(thread.daemon for thread in threading.enumerate()):",
        "if False:",
        "tests/unit/api/cli/test_serving.py::test_a_process_in_which_an_inference_goes_on_ends_well",
    ),
    Guard(
        "hidden versions are renewed where nothing was found",
        "retrieval/search.py",
        "if not ranking.best:",
        "if False:",
        "tests/unit/retrieval/test_visibility.py"
        "::test_a_version_that_alone_has_a_word_is_found_once_it_has_become_visible",
    ),
    Guard(
        "figures do not count as length",
        "retrieval/bm25.py",
        "(len(inside) - self._not_wordy(words, read))",
        "len(inside)",
        "tests/unit/retrieval/test_bm25.py::test_the_figures_of_a_table_do_not_make_it_long",
    ),
    Guard(
        "vectors are copied for the same text alone",
        "workers/vectors.py",
        "            if each.key in same\n",
        "",
        "tests/unit/workers/test_vectors.py::test_a_vector_is_copied_to_the_next_generation_for_the_same_text_alone",
    ),
    Guard(
        "a table's header stands above its rows",
        "workers/vectors.py",
        "*filter(None, [text.header])])\n    return",
        "])\n    return",
        "tests/unit/workers/test_vectors.py::test_rows_stand_under_the_header_of_their_table_for_bm25_and_the_encoder",
    ),
    Guard(
        "tools of MCP need their scope",
        "api/mcp/server.py",
        "if tool.scope not in caller.scopes:",
        "if False:",
        "tests/integration/test_mcp.py::test_a_key_sees_and_calls_the_tools_of_its_scopes",
    ),
    Guard(
        "MCP answers under the service's own names",
        "api/mcp/endpoint.py",
        "        self._require_known_host(scope)\n",
        "",
        "tests/integration/test_mcp.py::test_a_host_that_is_not_the_services_is_refused_in_words",
    ),
    Guard(
        "answers for MCP hold nothing that a client would load",
        "api/mcp/schemas.py",
        "text = shown_text(answer)",
        "text = answer.text",
        "tests/integration/test_mcp.py::test_an_answer_cannot_make_a_client_load_or_link_anything",
    ),
    Guard(
        "an answer for MCP ends with its client",
        "api/answer_events.py",
        "or the protocol has seen the client go\n        stop.set()\n",
        "or the protocol has seen the client go\n",
        "tests/integration/test_mcp.py::test_a_client_that_goes_away_stops_the_work",
    ),
    Guard(
        "no source is read that cannot fit",
        "ingest/parsing/child.py",
        "if media_type in _SOURCES and path.stat().st_size > _SHRINKS * limits.text_bytes:",
        "if False:",
        "tests/unit/ingest/test_parsers.py::test_a_source_that_cannot_fit_is_refused_before_it_is_read",
    ),
    Guard(
        "rows of very long tables are not indexed",
        "ingest/chunking.py",
        "        for begin, stop in _without(section.start, section.end, left_out):",
        "        for begin, stop in [(section.start, section.end)]:",
        "tests/unit/ingest/test_chunking.py"
        "::test_of_very_long_tables_the_first_rows_are_in_chunks_and_the_others_are_named",
    ),
    Guard(
        "hits are not joined over rows that are not indexed",
        "retrieval/expansion.py",
        "next_.first <= one.last + (not one.gap_after)",
        "next_.first <= one.last + 1",
        "tests/unit/retrieval/test_expansion.py::test_stretches_do_not_meet_over_text_that_is_in_no_chunk",
    ),
    Guard(
        "each search of a direct answer has its share",
        "rlm/direct.py",
        "max(share, self._reader.room // left)",
        "self._reader.room // left",
        "tests/unit/rlm/test_direct.py::test_each_search_of_the_model_has_its_share_after_a_section_took_all_room",
    ),
    Guard(
        "hits are read before the text around them",
        "rlm/passages.py",
        "spent = self._take(hits, tokens // 2 if widened else tokens)",
        "spent = self._take(hits, 0)",
        "tests/unit/rlm/test_passages.py::test_every_hit_gets_its_part_of_the_text_around_hits",
    ),
    Guard(
        "a section that a search asks for is read whole",
        "rlm/passages.py",
        "if 2 * len(best.intersection(section)) > len(section):",
        "if False:",
        "tests/unit/rlm/test_direct.py::test_a_section_that_was_asked_for_is_read_whole_and_in_order",
    ),
    Guard(
        "hits in versions outside the corpus are not read",
        "rlm/passages.py",
        "if document is None or document.handle.version_id != hit.version_id:",
        "if document is None:",
        "tests/unit/rlm/test_passages.py::test_hits_outside_the_corpus_are_left_out",
    ),
    Guard(
        "hidden sheets are left out",
        "ingest/parsing/sheets/workbook.py",
        "if sheet.visible is not SheetVisibleEnum.Visible:",
        "if False:",
        "tests/unit/ingest/test_workbooks.py::test_what_is_hidden_is_said_and_hidden_sheets_are_left_out",
    ),
    Guard(
        "cells that merged ones are repeated in",
        "ingest/parsing/sheets/blocks.py",
        "if end - begin > self._left:",
        "if False:",
        "tests/unit/ingest/test_workbooks.py::test_cells_that_merged_ones_are_repeated_in_are_bounded",
    ),
    Guard(
        "room of an upload for entries",
        "workers/ingest_task.py",
        "entries=max(0, self._room.entries - others)",
        "entries=self._room.entries",
        "tests/unit/workers/test_containers.py::test_the_room_of_an_upload_counts_the_entries_of_all_containers_in_it",
    ),
    Guard(
        "levels of containers",
        "ingest/parsing/entries.py",
        "if self._room.levels < 1:",
        "if False:",
        "tests/unit/ingest/test_archives.py::test_an_archive_of_nothing_that_can_be_taken_fails_and_says_why",
    ),
    Guard(
        "ratio of an entry",
        "ingest/parsing/entries.py",
        "if inflated is not None and size > inflated:",
        "if False:",
        "tests/unit/ingest/test_archives.py::test_an_entry_that_inflates_beyond_reason_is_left_out",
    ),
    Guard(
        "devices in archives",
        "ingest/parsing/archives.py",
        "elif stat.S_IFMT(mode) not in (0, stat.S_IFREG):",
        "elif False:",
        "tests/unit/ingest/test_archives.py::test_links_and_devices_are_not_followed",
    ),
    Guard(
        "paths of entries",
        "ingest/parsing/entries.py",
        'if part.strip(". ")]',
        "if part]",
        "tests/unit/ingest/test_archives.py::test_a_path_is_cleaned_and_never_empty",
    ),
    Guard(
        "overlapping entries",
        "ingest/parsing/archives.py",
        "if sum(info.compress_size for info in infos) > file_bytes:",
        "if False:",
        "tests/unit/ingest/test_archives.py::test_overlapping_entries_are_no_sound_archive",
    ),
    Guard(
        "forged entries",
        "ingest/parsing/handover.py",
        "if not _entry_file.fullmatch(file) or media_type",
        "if media_type",
        "tests/security/test_parser_sandbox.py::test_entries_that_no_parser_of_ours_leaves_are_not_taken",
    ),
    Guard(
        "entries beyond their room",
        "ingest/parsing/sandbox.py",
        "if len(entries) > room.entries or sum",
        "if sum",
        "tests/security/test_parser_sandbox.py::test_entries_that_no_parser_of_ours_leaves_are_not_taken",
    ),
    Guard(
        "entries of an active version",
        "workers/ingest_task.py",
        "_keep_nothing if document.active_version_id == version.id else store.take",
        "store.take",
        "tests/unit/workers/test_containers.py::test_indexing_a_container_again_brings_no_deleted_entry_back",
    ),
    Guard(
        "entries are no uploads",
        "ingest/catalog/versions.py",
        "            documents.c.container_id.is_(None),  # an entry goes with its container, and an upload does not\n",
        "",
        "tests/unit/workers/test_containers.py::test_an_upload_of_the_same_bytes_as_an_entry_is_a_document_of_its_own",
    ),
    Guard(
        "readers of entries",
        "ingest/catalog/versions.py",
        '        _change_readers_of_entries(connection, entries, values["readers"])\n',
        "",
        "tests/unit/workers/test_containers.py"
        "::test_entries_have_the_readers_of_their_container_also_when_those_change",
    ),
    Guard(
        "quotas of entries",
        "ingest/catalog/entries.py",
        "    if _stored(connection, rules, list(arrivals.values())) is None:\n",
        "    if True:\n",
        "tests/contract/test_catalog_entries.py::test_entries_beyond_a_quota_are_omissions_and_their_blobs_are_unused",
    ),
    Guard(
        "staged entries are known",
        "ingest/catalog/leftovers.py",
        "for table in (versions, staged_entries, files):",
        "for table in (versions,):",
        "tests/contract/test_catalog_entries.py::test_a_replacement_takes_its_entries_when_it_is_ready_and_not_before",
    ),
    Guard(
        "words in a document",
        "ingest/parsing/child.py",
        "if not any(map(str.isalnum, document.text)):",
        "if False:",
        "tests/unit/ingest/test_child.py::test_a_text_without_a_letter_or_a_digit_is_no_text",
    ),
    Guard(
        "the token of a session",
        "api/portal/cookies.py",
        "if not hmac.compare_digest(_header(scope, _CSRF).encode(), csrf_token(secret).encode()):",
        "if False:",
        "tests/security/test_sessions.py::test_what_changes_something_needs_the_token_of_the_session",
    ),
    Guard(
        "the token of a session on every route",
        "api/admission.py",
        "        require_own(scope, secret)\n",
        "",
        "tests/security/test_sessions.py::test_no_route_that_changes_something_is_reached_by_a_cookie_alone",
    ),
    Guard(
        "pages of other sites",
        "api/routes/sessions.py",
        "    require_same_origin(request.scope)\n",
        "",
        "tests/security/test_sessions.py::test_a_page_of_another_site_begins_and_changes_nothing",
    ),
    Guard(
        "sign-in over plain http",
        "api/routes/sessions.py",
        "    cookie.require_safe(request.scope)\n",
        "",
        "tests/security/test_sessions.py::test_nobody_signs_in_over_a_connection_that_others_can_read",
    ),
    Guard(
        "sign-ins that another browser began",
        "api/portal/provider.py",
        "if flow is None or not hmac.compare_digest(flow.state.encode(), state.encode()):",
        "if flow is None:",
        "tests/security/test_provider_sign_in.py::test_a_sign_in_that_another_browser_began_is_refused",
    ),
    Guard(
        "tokens of another sign-in",
        "api/oidc.py",
        'if nonce is not None and claims.get("nonce") != nonce:',
        "if False:",
        "tests/security/test_provider_sign_in.py::test_a_token_of_another_sign_in_or_for_another_client_is_refused",
    ),
    Guard(
        "one use of a link",
        "ingest/catalog/sessions.py",
        "connection.execute(delete(sessions).where(sessions.c.secret_sha256 == row.secret_sha256)).rowcount",
        "1",
        "tests/contract/test_catalog_sessions.py::test_a_ticket_is_good_once_and_for_an_hour_and_is_no_session",
    ),
    Guard(
        "the end of a session that is not used",
        "ingest/catalog/sessions.py",
        "now - row.used_at <= row.idle_seconds",
        "True",
        "tests/contract/test_catalog_sessions.py::test_a_session_ends_without_use_and_at_its_time",
    ),
    Guard(
        "the policy of pages",
        "api/portal/pages.py",
        "HTMLResponse(written, headers=HEADERS)",
        "HTMLResponse(written)",
        "tests/security/test_sessions.py::test_pages_run_and_load_files_of_their_own_alone",
    ),
    Guard(
        "grants in every query of documents",
        "ingest/catalog/document_scope.py",
        "listed if EVERY_COLLECTION in readers else listed & ~_in_closed_collection(readers)",
        "listed",
        "tests/contract/test_catalog_identities.py"
        "::test_documents_of_a_granted_collection_are_for_its_readers_and_admins",
    ),
    Guard(
        "grants in searches",
        "retrieval/search.py",
        "return self._visibility.closed_collections(request.tenant_id, request.readers)",
        "return ()",
        "tests/security/test_collection_roles.py"
        "::test_searches_listings_counts_and_contents_show_a_collection_to_those_granted_alone",
    ),
    Guard(
        "roles of who writes",
        "ingest/identity.py",
        "        if collection in self.read_only:\n            raise",
        "        if False:\n            raise",
        "tests/security/test_collection_roles.py::test_a_reader_changes_nothing_and_a_writer_does",
    ),
    Guard(
        "scopes of a key",
        "api/access.py",
        "if self.scopes and found.scopes.isdisjoint(self.scopes):",
        "if False:",
        "tests/security/test_scopes.py::test_every_route_refuses_a_key_with_all_scopes_but_its_own_and_names_it",
    ),
    Guard(
        "operators are made by operators",
        "api/routes/keys.py",
        "if Scope.OPERATOR in scopes and Scope.OPERATOR not in caller.scopes:",
        "if False:",
        "tests/security/test_scopes.py::test_only_an_operator_makes_tenants_and_operators",
    ),
    Guard(
        "expiry of a key",
        "ingest/catalog/keys.py",
        "(row.expires_at is None or row.expires_at > now)",
        "True",
        "tests/contract/test_catalog_identities.py::test_a_key_is_valid_until_its_expiry",
    ),
    Guard(
        "revocation of a key",
        "ingest/catalog/keys.py",
        "return row.revoked_at is None",
        "return True",
        "tests/contract/test_catalog_identities.py"
        "::test_a_key_opens_only_with_its_whole_secret_and_only_until_it_is_revoked",
    ),
    Guard(
        "suspended tenants",
        "ingest/catalog/keys.py",
        " and row.suspended_at is None",
        "",
        "tests/contract/test_catalog_identities.py::test_a_suspended_tenants_keys_are_refused_until_it_is_resumed",
    ),
    Guard(
        "audience of a token",
        "api/oidc.py",
        "                audience=audience,\n",
        '                audience=jwt.decode(token, options={"verify_signature": False}).get("aud"),\n',
        "tests/security/test_oidc.py::test_a_token_for_another_audience_is_refused",
    ),
    Guard(
        "issuer of a token",
        "api/oidc.py",
        "                issuer=settings.oidc_issuer,\n",
        "",
        "tests/security/test_oidc.py::test_a_token_of_another_issuer_is_refused",
    ),
    Guard(
        "algorithms of a token",
        "api/oidc.py",
        'if header.get("alg") not in self._settings.algorithms:',
        "if False:",
        "tests/security/test_oidc.py::test_a_token_with_an_algorithm_that_is_not_listed_has_no_key_fetched",
    ),
    Guard(
        "fence",
        "ingest/catalog/jobs.py",
        '.where(jobs.c.id == job.id, jobs.c.fence == job.fence, jobs.c.state == "running")\n        .values',
        '.where(jobs.c.id == job.id, jobs.c.state == "running")\n        .values',
        "tests/contract/test_catalog.py::test_a_worker_whose_lease_was_taken_cannot_commit_anything",
    ),
    Guard(
        "staging",
        "ingest/catalog/versions.py",
        "if not staged:",
        "if True:",
        "tests/contract/test_catalog_replace.py"
        "::test_the_old_content_is_searched_until_the_new_one_is_ready_and_then_that",
    ),
    Guard(
        "delete barrier",
        "workers/ingest_task.py",
        "if self._deps.catalog.removable(job.version_id) is not None:",
        "if False:",
        "tests/unit/workers/test_tasks.py::test_what_a_worker_wrote_for_a_document_deleted_under_it_is_removed_again",
    ),
    Guard(
        "late acknowledgement",
        "workers/enqueue/celery_app.py",
        '"task_acks_late": True',
        '"task_acks_late": False',
        "tests/faults/test_cluster.py::test_a_message_whose_worker_is_killed_comes_back_without_a_sweep",
    ),
    Guard(
        "followers look without being told",
        "api/sse.py",
        "time.monotonic() + _LOOK_SECONDS",
        "time.monotonic() + 3600",
        "tests/unit/api/test_sse.py"
        "::test_without_a_ring_changes_are_found_and_the_same_state_is_sent_once -o timeout=30",
    ),
    Guard(
        "generation of a job",
        "ingest/catalog/generation_rows.py",
        "if (connection.execute(query).scalar() or UNBOUND) != job.generation:",
        "if False:",
        "tests/contract/test_catalog_generations.py"
        "::test_what_was_written_to_the_generation_that_was_left_does_not_count",
    ),
    Guard(
        "chunks are inserted and never overwritten",
        "retrieval/qdrant_edge_index.py",
        ", update_mode=UpdateMode.InsertOnly",
        "",
        "tests/contract/test_index.py::test_writing_a_chunk_late_leaves_its_vector",
    ),
    Guard(
        "words are counted by tenant, embedded",
        "retrieval/qdrant_edge_index.py",
        "if scope.sees_all and self._sole_tenant.has_all(scope.tenant_id):",
        "if True:",
        "tests/contract/test_index.py::test_no_tenants_words_move_another_tenants_scores",
    ),
    Guard(
        "words are counted by tenant, on a server",
        "retrieval/qdrant_server_index.py",
        "if scope.sees_all and self._sole_tenant.has_all(scope.tenant_id):",
        "if True:",
        "tests/contract/test_index.py::test_no_tenants_words_move_another_tenants_scores",
    ),
    Guard(
        "a second tenant of this process is noticed at once",
        "retrieval/sole_tenant.py",
        "                self._tenants |= self._written\n",
        "                pass\n",
        "tests/unit/retrieval/test_sole_tenant.py",
    ),
    Guard(
        "a 404 on vectors is settled by counting",
        "retrieval/qdrant_server_index.py",
        "            if error.status_code != 404:",
        "            if True:",
        "tests/integration/qdrant/test_server_faults.py"
        "::test_a_replica_that_denies_chunks_which_are_there_is_asked_again_and_is_an_outage",
    ),
    Guard(
        "the next address is tried when one is away",
        "retrieval/qdrant_server_connection.py",
        "                if not _is_away(error):",
        "                if True:",
        "tests/integration/qdrant/test_server_addresses.py"
        "::test_searches_and_writes_go_on_while_any_one_of_two_addresses_is_away",
    ),
    Guard(
        "a generation that copies waits for vectors in the making",
        "workers/reembed_task.py",
        "if made.copied is not None and self._awaits_vectors(job):",
        "if False:",
        "tests/integration/generations/test_spreading.py"
        "::test_vectors_that_are_still_being_made_are_waited_for_and_copied",
    ),
    Guard(
        "vectors are copied, not computed again",
        "workers/vectors.py",
        "if self._made.copied is None:",
        "if True:",
        "tests/integration/generations/test_spreading.py"
        "::test_an_index_is_spread_while_it_is_used_without_a_failed_search_or_a_vector_made_twice",
    ),
    Guard(
        "an index that is made again takes no vectors over",
        "ingest/catalog/generations.py",
        "id=identifier, copies=copies,",
        "id=identifier, copies=1,",
        "tests/integration/generations/test_spreading.py::test_an_index_made_again_takes_no_vector_of_the_one_before",
    ),
    Guard(
        "no more copies than nodes",
        "retrieval/qdrant_server_collection.py",
        "        _require_nodes(connection, settings)\n",
        "",
        "tests/integration/qdrant/test_server_index.py"
        "::test_more_copies_than_there_are_nodes_are_refused_and_nothing_is_made",
    ),
    Guard(
        "budget over the tree",
        "rlm/llm/budgets.py",
        "            for budget, kept in self._upwards():\n                budget._require(",
        "            for budget, kept in [(self, NOTHING)]:\n                budget._require(",
        "tests/faults/test_hostile_trees.py",
    ),
    Guard(
        "reserved before it is sent",
        "rlm/llm/budgets.py",
        "settled + reserved + asked + back > limit",
        "settled + asked + back > limit",
        "tests/faults/test_hostile_trees.py",
    ),
    Guard(
        "a tenant's own replies",
        "rlm/llm/cache.py",
        "[tenant_id, *of_audience, profile",
        "[*of_audience, profile",
        "tests/unit/rlm/llm/test_cache.py::test_whatever_decides_the_reply_is_part_of_its_key",
    ),
    Guard(
        "replies of those who may see the same",
        "rlm/llm/cache.py",
        "[tenant_id, *of_audience, profile",
        "[tenant_id, profile",
        "tests/unit/rlm/llm/test_cache.py::test_whatever_decides_the_reply_is_part_of_its_key",
    ),
    Guard(
        "handles stay in scope",
        "rlm/corpus/corpus.py",
        "if document is None or not document.handle.holds(handle) or ",
        "if document is not None and ",
        "tests/unit/rlm/corpus/test_corpus.py::test_another_tenants_text_in_the_same_blobs_is_out_of_reach",
    ),
    Guard(
        "large runs ask first",
        "rlm/tables/working.py",
        "        require_confirmation(total, self._context.wanted)\n",
        "",
        "tests/unit/rlm/tables/test_strategy.py::test_a_lot_of_work_is_begun_only_when_it_is_confirmed_or_budgeted",
    ),
    Guard(
        "records are one line",
        "rlm/untrusted.py",
        '_WHITE.sub(" ", neutral(text))',
        "text",
        "tests/unit/rlm/operators/test_operators.py::test_a_record_cannot_pose_as_another_or_end_the_data",
    ),
    Guard(
        "calls carry no tokens of chat templates",
        "rlm/llm/port.py",
        'object.__setattr__(self, "prompt", neutral(self.prompt))',
        "pass",
        "tests/security/test_model_text.py::test_whatever_builds_a_call_its_messages_and_schema_are_taken_care_of",
    ),
    Guard(
        "schemas carry no tokens of chat templates",
        "rlm/llm/port.py",
        'object.__setattr__(self, "schema", _neutral_json(self.schema))',
        "pass",
        "tests/security/test_model_text.py::test_whatever_builds_a_call_its_messages_and_schema_are_taken_care_of",
    ),
    Guard(
        "prompts carry no hidden characters",
        "ingest/model_text.py",
        "visible(text))",
        "text)",
        "tests/security/test_model_text.py::test_hidden_characters_are_gone_and_the_visible_ones_are_not",
    ),
    Guard(
        "links and images are no syntax",
        "api/rendering.py",
        '"link", "image", "autolink"',
        '"linkify"',
        "tests/security/test_rendering.py::test_the_text_of_a_refused_link_stays_readable",
    ),
    Guard(
        "Slack reads no control from a text",
        "api/rendering.py",
        'else "＃", text).translate(_SLACK)',
        'else "＃", text)',
        "tests/security/test_rendering.py::test_generated_markdown_renders_to_nothing_but_our_links",
    ),
    Guard(
        "Slack finds no address in a text",
        "api/rendering.py",
        'match[0].replace(":", "[:]").replace(".", "[.]")',
        "match[0]",
        "tests/security/test_rendering.py::test_generated_markdown_renders_to_nothing_but_our_links",
    ),
    Guard(
        "a card in Slack is done before its stream ends",
        "api/slack/live.py",
        "self._steps.cards(ended=True)",
        "self._steps.cards(ended=False)",
        "tests/integration/slack/test_live.py::test_a_longer_run_shows_a_card_a_step_and_no_failed_one",
    ),
    Guard(
        "a stream in Slack ends before Slack ends it",
        "api/slack/live.py",
        "            is_over = self._clock() - self._streamed_since >= STREAM_SECONDS\n",
        "            is_over = False\n",
        "tests/integration/slack/test_live.py::test_a_stream_that_is_about_to_end_goes_on_as_updates_and_loses_nothing",
    ),
    Guard(
        "a status in Slack is said again before Slack takes it away",
        "api/slack/live.py",
        "self._clock() - self._status_at < _STATUS_SECONDS",
        "True",
        "tests/integration/slack/test_live.py::test_where_no_cards_are_taken_there_is_the_status_and_the_text",
    ),
    Guard(
        "what was deleted in Slack is posted again in order",
        "api/slack/reply.py",
        "                await self._remove_from(number)\n",
        "",
        "tests/integration/slack/test_live.py::test_what_was_deleted_in_slack_is_posted_again_in_order_and_once",
    ),
    Guard(
        "a reply that Slack lets nobody change is posted anew",
        "api/slack/reply.py",
        '            log.info("a message was not changed", reason=error.reason)\n            return False\n',
        "            raise\n",
        "tests/integration/slack/test_live.py::test_a_message_that_may_not_be_changed_is_posted_anew",
    ),
    Guard(
        "a reply whose blocks Slack refuses is given in plain ones",
        "api/slack/reply.py",
        "            await self.post(plainer(message), number)\n",
        "            raise\n",
        "tests/integration/slack/test_live.py::test_a_reply_whose_blocks_are_refused_is_given_in_plain_ones",
    ),
    Guard(
        "who reads a channel in Slack is asked again before its reply",
        "api/slack/delivery.py",
        "since the run began.\n            caller = await",
        "since the run began.\n            await",
        "tests/integration/slack/test_readers.py"
        "::test_who_comes_into_a_channel_while_it_is_answered_reads_nothing_closed_to_them",
    ),
    Guard(
        "who may ask in a channel of Slack binds the shortcut",
        "api/slack/intake.py",
        'if not self._may_ask(workspace.team_id, channel, str(payload["user"]["id"])):',
        "if False:",
        "tests/integration/slack/test_readers.py::test_who_may_not_ask_in_a_channel_may_not_by_a_shortcut_or_a_button",
    ),
    Guard(
        "who may ask in a channel of Slack binds the button to go ahead",
        "api/slack/intake.py",
        "if not trigger_id or not self._may_ask(asked.team_id, asked.channel, user_id):",
        "if not trigger_id:",
        "tests/integration/slack/test_readers.py::test_who_may_not_ask_in_a_channel_may_not_by_a_shortcut_or_a_button",
    ),
    Guard(
        "a message in Slack holds no more than Slack takes",
        "api/slack/messages.py",
        " or size + more > MESSAGE_BYTES",
        "",
        "tests/unit/api/test_slack_messages.py"
        "::test_a_long_answer_in_any_script_is_parted_into_messages_that_slack_takes",
    ),
    Guard(
        "the bot's token goes to Slack's servers alone",
        "api/slack/downloads.py",
        "    if not is_slacks(file.url, api_url):",
        "    if False:",
        "tests/unit/api/test_slack_downloads.py::test_nothing_is_asked_of_a_server_that_is_not_slacks",
    ),
    Guard(
        "a private channel's file is open to its members alone",
        "api/slack/files.py",
        "return Audience.CHANNEL, own | {members}, everybody",
        "return Audience.CHANNEL, None, everybody",
        "tests/integration/slack/test_files.py::test_a_private_channels_file_appears_nowhere_else",
    ),
    Guard(
        "only who is in a channel sees its files elsewhere",
        "api/slack/people.py",
        "for each in closed & kept[1])",
        "for each in closed)",
        "tests/integration/slack/test_files.py::test_a_private_channels_file_appears_nowhere_else",
    ),
    Guard(
        "a document stays while its file is shared elsewhere",
        "api/slack/files.py",
        "            if self._store.is_used(file.document_id):",
        "            if False:",
        "tests/integration/slack/test_files.py"
        "::test_a_document_stays_as_long_as_its_file_is_shared_or_came_from_elsewhere",
    ),
    Guard(
        "a document that was uploaded to us is not Slack's to delete",
        "api/slack/files.py",
        "            if not document.key_id.startswith(SLACK_KEY):",
        "            if False:",
        "tests/integration/slack/test_files.py"
        "::test_a_document_stays_as_long_as_its_file_is_shared_or_came_from_elsewhere",
    ),
    Guard(
        "names of files are inert in the thread",
        "api/slack/file_messages.py",
        'inert_mrkdwn(" ".join(file.name.split())[:_NAME_CHARS])',
        '" ".join(file.name.split())[:_NAME_CHARS]',
        "tests/unit/api/test_slack_file_messages.py::test_a_hundred_files_are_one_message_that_slack_takes",
    ),
    Guard(
        "nothing is unfurled of what is said of files",
        "api/slack/notice.py",
        "                unfurl_links=False,",
        "",
        "tests/security/test_slack_bot.py::test_hostile_names_of_files_are_inert_in_the_thread",
    ),
    Guard(
        "a question waits for the files of its message",
        "ingest/catalog/slack.py",
        "~before_it, ~files_come)",
        "~before_it)",
        "tests/integration/slack/test_files.py::test_a_question_with_its_file_waits_until_that_is_read",
    ),
    Guard(
        "a question whose run waits is taken only once that goes on or has ended",
        "ingest/catalog/slack.py",
        "goes_on = and_(mine.state == QuestionState.PAUSED, ~run_waits)",
        "goes_on = mine.state == QuestionState.PAUSED",
        "tests/contract/test_catalog_slack.py::test_a_question_that_waits_is_nobodys_until_its_run_goes_on_or_ends",
    ),
    Guard(
        "a question that goes on waits until another of its thread is answered",
        "ingest/catalog/slack.py",
        "if not _is_next(connection, row, now):",
        "if False:",
        "tests/contract/test_catalog_slack.py"
        "::test_a_question_that_waits_keeps_no_other_of_its_thread_waiting_but_is_answered_alone",
    ),
    Guard(
        "a button decides about the pause in which it was shown",
        "api/slack/waiting.py",
        "if run.state is not RunState.PAUSED or len(run.raised) != raises:",
        "if run.state is not RunState.PAUSED:",
        "tests/integration/slack/test_pausing.py::test_each_press_allows_as_much_again_and_a_button_is_of_one_pause",
    ),
    Guard(
        "who may not ask in a channel may not decide there",
        "api/slack/waiting.py",
        "if not question.settings.lets_ask(user_id):",
        "if False:",
        "tests/integration/slack/test_pausing.py::test_who_may_not_ask_in_a_channel_may_not_decide_there",
    ),
    Guard(
        "a run whose time may be raised is not told of it, so it asks the same again",
        "rlm/loop/prompts.py",
        'if most is not None and (name != "seconds" or environment.tells_time):',
        "if most is not None:",
        "tests/unit/rlm/loop/test_last_cells.py::test_a_root_is_told_beforehand_what_its_run_may_spend",
    ),
    Guard(
        "what is written is shown no more once somebody came who may not see it",
        "api/slack/delivery.py",
        "if await self._is_withheld(run, await readers()):",
        "if False:",
        "tests/integration/slack/test_readers.py"
        "::test_what_is_shown_of_an_answer_goes_when_somebody_comes_who_may_not_see_it",
    ),
    Guard(
        "an event is not taken before it is known whose the bot's token is",
        "api/slack/app.py",
        "if workspace is None and not self._knows_own:",
        "if False:",
        "tests/integration/slack/test_processes.py"
        "::test_an_event_that_comes_before_it_is_known_whose_the_token_is_comes_again",
    ),
    Guard(
        "a connection that cannot be made is closed",
        "api/slack/app.py",
        "                await self._disconnect()\n",
        "",
        "tests/integration/slack/test_processes.py::test_a_connection_that_cannot_be_made_leaves_nothing_open",
    ),
    Guard(
        "parsers open no files",
        "ingest/parsing/confinement.py",
        "LANDLOCK if _restrict_files(document, folder, extra) else",
        "LANDLOCK if True else",
        "tests/unit/ingest/test_confinement.py"
        "::test_the_document_can_be_read_its_folder_be_written_and_no_other_file_be_opened",
    ),
    Guard(
        "parsers make no system calls but a parser's",
        "ingest/parsing/confinement.py",
        "SECCOMP if _refuse_calls() else",
        "SECCOMP if True else",
        "tests/unit/ingest/test_confinement.py::test_there_is_no_network_and_no_other_process",
    ),
    Guard(
        "required isolation is required",
        "ingest/parsing/sandbox.py",
        "if missing and self._isolation is Isolation.REQUIRE:",
        "if False:",
        "tests/security/test_parser_isolation.py"
        "::test_a_machine_that_cannot_isolate_parses_nothing_if_isolation_is_required",
    ),
    Guard(
        "a folder for each document",
        "ingest/parsing/sandbox.py",
        "with tempfile.TemporaryDirectory(dir=self._folder.name) as folder:\n            room",
        "for folder in [self._folder.name]:\n            room",
        "tests/security/test_parser_isolation.py::test_nothing_of_a_document_is_left_for_the_next",
    ),
    Guard(
        "what the code states was not computed",
        "rlm/loop/submit.py",
        "if self._cells.states(tool):",
        "if False:",
        "tests/security/test_obedient_model.py::test_a_value_that_a_document_dictates_is_not_computed",
    ),
    Guard(
        "batches of prompts are bounded",
        "rlm/loop/tools.py",
        "if len(prompts) > MAX_PROMPTS:",
        "if False:",
        "tests/unit/rlm/loop/test_tools.py::test_no_batch_of_prompts_is_so_long_that_preparing_it_outlasts_the_run",
    ),
    Guard(
        "schemas fetch nothing",
        "rlm/llm/structured_output.py",
        ", registry=Registry()",
        "",
        "tests/unit/rlm/llm/test_structured_output.py::test_a_schema_never_makes_us_fetch_anything",
    ),
    Guard(
        "a tenant's own query cache",
        "retrieval/query_cache.py",
        "_Key(request.tenant_id, version,",
        '_Key("", version,',
        "tests/unit/retrieval/test_query_cache.py::test_another_tenants_hits_are_never_shown",
    ),
    Guard(
        "tenants in turn at the reranker",
        "retrieval/tenant_threads.py",
        "self._queues.move_to_end(tenant_id)",
        "pass",
        "tests/unit/retrieval/test_tenant_threads.py"
        "::test_a_tenant_with_one_piece_of_work_is_next_however_many_another_has",
    ),
    Guard(
        "a tenant's own token vectors",
        "retrieval/token_cache.py",
        "return corpus.tenant_id, hashlib",
        'return "", hashlib',
        "tests/unit/retrieval/test_token_cache.py::test_another_tenant_finds_nothing_of_the_same_text",
    ),
    Guard(
        "token vectors of one corpus",
        "retrieval/token_cache.py",
        "known != corpus and known.version <= corpus.version",
        "False",
        "tests/unit/workers/test_token_cache.py::test_nothing_of_a_document_that_has_gone_is_kept_or_read",
    ),
    Guard(
        "query cache of one corpus",
        "retrieval/query_cache.py",
        "key = _Key(request.tenant_id, version,",
        "key = _Key(request.tenant_id, 0,",
        "tests/unit/retrieval/test_query_cache.py::test_what_was_found_in_an_earlier_corpus_is_not_found_again_and_not_kept",
    ),
    Guard(
        "query cache of one generation",
        "retrieval/query_cache.py",
        "self.uncached.generation, _canonical",
        "1, _canonical",
        "tests/unit/retrieval/test_query_cache.py::test_the_generation_of_the_index_is_a_part_of_the_key",
    ),
    Guard(
        "query cache of one request",
        "retrieval/query_cache.py",
        "members = asdict(request)",
        'members = {"query": request.query, "tenant_id": ""}',
        "tests/unit/retrieval/test_query_cache.py::test_every_member_of_a_request_is_a_part_of_its_key",
    ),
    Guard(
        "readers in the vector query",
        "retrieval/qdrant_edge_index.py",
        "must.append(Filter(should=[IsEmptyCondition(READERS), readers]))",
        "pass",
        "tests/contract/test_index.py::test_a_closed_version_is_found_by_its_readers_alone_by_words_and_by_meaning",
    ),
    Guard(
        "readers in the vector server's query",
        "retrieval/qdrant_server_index.py",
        "must.append(models.Filter(should=[unlisted, _any_of(READERS, sorted(scope.readers))]))",
        "pass",
        "tests/contract/test_index.py::test_a_closed_version_is_found_by_its_readers_alone_by_words_and_by_meaning",
    ),
    Guard(
        "readers after the vector query",
        "retrieval/search.py",
        "if each.open_to(request.readers) and",
        "if",
        "tests/unit/retrieval/test_search.py"
        "::test_what_is_closed_is_found_by_its_readers_alone_whatever_the_index_knows",
    ),
    Guard(
        "readers in the query cache",
        "retrieval/query_cache.py",
        'members["readers"] = None if request.readers is None else sorted(request.readers)',
        'del members["readers"]',
        "tests/unit/retrieval/test_query_cache.py::test_every_member_of_a_request_is_a_part_of_its_key",
    ),
    Guard(
        "a change of readers counts",
        "ingest/catalog/catalog.py",
        "with self._changing_search_results(tenant_id) as connection:\n            changed",
        "with write(self._engine) as connection:\n            changed",
        "tests/contract/test_catalog_access.py::test_a_change_is_seen_by_every_query_and_changes_tag_and_corpus",
    ),
    Guard(
        "readers of new points",
        "workers/access.py",
        "write_until_current(catalog, document_id, write)",
        "pass",
        "tests/unit/workers/test_access.py"
        "::test_points_written_while_a_document_is_closed_are_closed_before_they_are_found",
    ),
    Guard(
        "readers of a single document",
        "ingest/catalog/records.py",
        "where(*mine, open_to(readers))",
        "where(*mine)",
        "tests/contract/test_catalog_access.py::test_a_closed_document_does_not_exist_for_others",
    ),
    Guard(
        "readers of content",
        "api/routes/contents.py",
        "    document = served.catalog.document(caller.tenant_id, document_id, readers=caller.readers)\n"
        "    active = document.active_version_id",
        "    document = served.catalog.document(caller.tenant_id, document_id)\n"
        "    active = document.active_version_id",
        "tests/security/test_access_lists.py"
        "::test_a_closed_document_answers_as_an_unknown_one_on_every_route_of_documents",
    ),
    Guard(
        "readers of a corpus",
        "rlm/corpus/corpus.py",
        "        readers=scope.readers,\n        after=after,",
        "        readers=None,\n        after=after,",
        "tests/security/test_access_lists.py::test_no_answer_and_no_prompt_has_anything_of_a_closed_document",
    ),
    Guard(
        "readers of tools while they run",
        "rlm/corpus/corpus.py",
        "if not self.is_open(document):",
        "if False:",
        "tests/unit/rlm/corpus/test_withheld.py::test_nothing_of_a_document_is_read_once_it_is_closed",
    ),
    Guard(
        "readers of rows while a question is answered",
        "rlm/tables/opened.py",
        "with self._corpus.reading(part.document):\n                    rows",
        "if True:\n                    rows",
        "tests/unit/rlm/tables/test_catalog.py::test_of_documents_that_were_closed_meanwhile_nothing_is_shown",
    ),
    Guard(
        "values of closed documents are in no prompt of tables",
        "rlm/tables/catalog.py",
        "each.handle for each in corpus.documents if corpus.is_open(each)",
        "each.handle for each in corpus.documents",
        "tests/unit/rlm/tables/test_catalog.py::test_of_documents_that_were_closed_meanwhile_nothing_is_shown",
    ),
    Guard(
        "readers of a run",
        "ingest/catalog/run_log.py",
        "in_scope += [open_to(run.readers), ",
        "in_scope += [",
        "tests/security/test_access_lists.py::test_a_run_acts_for_who_asked_and_is_nobody_elses",
    ),
    Guard(
        "owners of runs",
        "ingest/catalog/run_log.py",
        "runs.c.tenant_id == tenant_id, owned_by(runs, owner))",
        "runs.c.tenant_id == tenant_id)",
        "tests/contract/test_catalog_runs.py"
        "::test_a_run_reads_what_its_asker_may_see_when_it_begins_and_when_it_goes_on",
    ),
    Guard(
        "owners of answers",
        "ingest/catalog/conversations.py",
        "where(answers.c.id == identifier, owned_by(answers, owner))",
        "where(answers.c.id == identifier)",
        "tests/security/test_access_lists.py::test_conversations_and_answers_are_their_askers",
    ),
    Guard(
        "a deletion counts",
        "ingest/catalog/catalog.py",
        "with self._changing_search_results(tenant_id) as connection:\n            deleted",
        "with write(self._engine) as connection:\n            deleted",
        "tests/unit/workers/test_query_cache.py"
        "::test_what_was_deleted_is_in_no_processs_cache_once_the_deletion_has_answered",
    ),
    Guard(
        "a folder that stays while keys come and go",
        "ingest/blobs.py",
        "        # The folder stays, also when it is empty: a `put` may have just made sure that it is there.\n",
        "        if not any(path.parent.iterdir()):\n            path.parent.rmdir()\n",
        "tests/unit/ingest/test_blobs.py::test_a_put_is_kept_while_the_last_other_key_of_its_folder_is_deleted",
    ),
    Guard(
        "blobs of one installation",
        "ingest/installation.py",
        "if recorded != marked:\n        raise mismatch(recorded, blobs.place, marked)\n    return I",
        "return I",
        "tests/contract/test_installation.py::test_another_ones_blobs_are_refused_and_stay_another_ones",
    ),
    Guard(
        "blobs without an id",
        "ingest/installation.py",
        "        _require_related(record, blobs)\n",
        "",
        "tests/contract/test_installation.py::test_an_empty_catalog_is_not_put_before_full_blobs",
    ),
    Guard(
        "an index of one installation, in a folder",
        "retrieval/index_stores.py",
        "        if owner is not None:\n            self._require_ours(generation_id, owner)\n        index",
        "        index",
        "tests/contract/test_index_store.py::test_an_index_belongs_to_the_installation_that_made_it -k folder",
    ),
    Guard(
        "an index of one installation, on a server",
        "retrieval/index_stores.py",
        "            self._require_ours(settings, owner)\n        with self._connect()",
        "            pass\n        with self._connect()",
        "tests/contract/test_index_store.py::test_an_index_belongs_to_the_installation_that_made_it -k server",
    ),
    Guard(
        "an index without an id",
        "retrieval/index_stores.py",
        "if versions and not installation.knows_version(versions):",
        "if False:",
        "tests/contract/test_index_store.py"
        "::test_an_index_without_an_id_is_taken_only_if_the_catalog_knows_something_of_it",
    ),
    Guard(
        "upkeep between parts of one installation",
        "workers/leftovers.py",
        "identifier = require_tied(self._record, self._blobs)",
        'identifier = self._record.id() or ""',
        "tests/unit/workers/test_leftovers.py::test_a_round_between_parts_of_two_installations_touches_nothing",
    ),
    Guard(
        "upkeep on an index of its own",
        "workers/leftovers.py",
        "                self._generations.require_owned(identifier)\n",
        "",
        "tests/integration/generations/test_ownership.py"
        "::test_upkeep_touches_nothing_once_an_index_belongs_to_another_installation",
    ),
    Guard(
        "unknown files are put aside",
        "workers/leftovers.py",
        "self._quarantine.put_aside(set().union(*unknown.values()))",
        "sum(self._blobs.delete(key) > 0 for key in set().union(*unknown.values()))",
        "tests/unit/workers/test_leftovers.py"
        "::test_files_that_nobody_recorded_are_put_aside_when_they_are_old_and_listed",
    ),
    Guard(
        "unknown chunks stay for days",
        "workers/leftovers.py",
        "if seen.get(version, last) < last",
        "if True",
        "tests/unit/workers/test_leftovers.py"
        "::test_chunks_of_a_version_that_the_catalog_never_knew_stay_for_days_and_then_go",
    ),
    Guard(
        "upkeep stops at a large share",
        "workers/leftovers.py",
        "strange > share * (self.total + self.aside)",
        "False",
        "tests/unit/workers/test_leftovers.py"
        "::test_a_round_that_would_put_aside_a_large_share_touches_nothing_and_says_so",
    ),
    Guard(
        "what is aside counts",
        "workers/leftovers.py",
        "strange = self.unknown + self.aside\n",
        "strange = self.unknown\n",
        "tests/unit/workers/test_leftovers.py::test_a_large_share_is_not_put_aside_little_by_little",
    ),
    Guard(
        "what is claimed again comes back",
        "workers/leftovers.py",
        "        put_back = self.put_back()\n",
        "        put_back = 0\n",
        "tests/unit/workers/test_leftovers.py"
        "::test_what_is_aside_and_belongs_to_a_document_comes_back_even_after_its_days",
    ),
    Guard(
        "a backup whose files went is begun from a later catalog",
        "ingest/backup.py",
        "        if missing == before:\n",
        "        if True:\n",
        "tests/integration/test_backup.py::test_a_document_that_came_and_went_during_a_backup_is_not_in_it",
    ),
    Guard(
        "a backup without what was deleted",
        "ingest/backup.py",
        "    _discard_others(folder, {each.key for each in contents})\n",
        "",
        "tests/integration/test_backup.py::test_what_was_deleted_before_the_backup_is_not_in_it",
    ),
    Guard(
        "damaged bytes are not put back",
        "ingest/restore.py",
        "    if found.hexdigest() != digest:\n",
        "    if False:\n",
        "tests/integration/test_backup.py::test_damaged_bytes_are_not_put_back",
    ),
    Guard(
        "a restore that was broken off",
        "ingest/installation.py",
        "    if blobs.size(RESTORING) is not None:\n",
        "    if False:\n",
        "tests/integration/test_backup.py::test_a_restore_broken_off_keeps_services_out_and_can_be_given_again",
    ),
    Guard(
        "what was made of a version is redacted with it",
        "workers/deletion.py",
        "self._catalog.redact(removable)",
        "pass",
        "tests/integration/test_erasure.py"
        "::test_nothing_that_stood_only_in_a_deleted_document_is_left_after_answers_runs_and_tables_used_it",
    ),
    Guard(
        "freed pages are overwritten",
        "ingest/catalog/database.py",
        "PRAGMA secure_delete = ON",
        "PRAGMA secure_delete = OFF",
        "tests/integration/test_erasure.py"
        "::test_nothing_that_stood_only_in_a_deleted_document_is_left_after_answers_runs_and_tables_used_it",
    ),
    Guard(
        "the write-ahead log is emptied",
        "ingest/catalog/catalog.py",
        "        scrub(self._engine)\n",
        "",
        "tests/integration/test_erasure.py"
        "::test_nothing_that_stood_only_in_a_deleted_document_is_left_after_answers_runs_and_tables_used_it",
    ),
    Guard(
        "nothing is stored of gone versions",
        "ingest/catalog/works.py",
        "return not gone_of(connection, work.id)",
        "return True",
        "tests/contract/test_catalog_works.py::test_nothing_made_of_a_deleted_document_is_stored_any_more",
    ),
    Guard(
        "a run that read a gone version loses its worker",
        "ingest/catalog/works.py",
        '.values(state="queued", fence=jobs.c.fence + 1, attempt=jobs.c.attempt - 1, lease_until=None)',
        ".values(attempt=jobs.c.attempt - 1)",
        "tests/contract/test_catalog_works.py"
        "::test_a_run_under_way_loses_its_worker_and_begins_again_without_what_it_had_read",
    ),
    Guard(
        "entries of the audit log are hashed",
        "ingest/catalog/audit.py",
        "if entry.hash != entry_hash(entry):",
        "if False:",
        "tests/contract/test_catalog_audit.py::test_what_was_done_to_the_log_is_found",
    ),
    Guard(
        "entries of the audit log follow one from another",
        "ingest/catalog/audit.py",
        "elif entry.previous_hash != self._last.hash:",
        "elif False:",
        "tests/contract/test_catalog_audit.py::test_what_was_done_to_the_log_is_found",
    ),
    Guard(
        "the end of the audit log is known",
        "ingest/catalog/audit.py",
        "        if last < noted:",
        "        if False:",
        "tests/contract/test_catalog_audit.py::test_an_end_that_was_cut_off_with_its_traces_is_found_by_an_anchor",
    ),
    Guard(
        "one appends to the audit log at a time",
        "ingest/catalog/audit.py",
        "select(audit_chain).where(_CHAIN).with_for_update()",
        "select(audit_chain).where(_CHAIN)",
        "tests/contract/test_catalog_audit.py::test_the_chain_stays_linear_while_several_processes_write",
    ),
    Guard(
        "one reservation after the other",
        "ingest/catalog/quotas.py",
        "            lock_tenant(connection, account.tenant_id)\n            return self._rules.reserve(",
        "            return self._rules.reserve(",
        "tests/contract/test_catalog_quotas.py::test_200_requests_at_once_reserve_exactly_what_there_is",
    ),
    Guard(
        "what is reserved counts as used",
        "ingest/catalog/quotas.py",
        "limited[quota], spent + reserved, reserved",
        "limited[quota], spent, reserved",
        "tests/contract/test_catalog_quotas.py::test_200_requests_at_once_reserve_exactly_what_there_is",
    ),
    Guard(
        "what a dead process reported is charged",
        "ingest/catalog/quotas.py",
        "        charge_expired(connection, account.tenant_id, instant)\n",
        "",
        "tests/contract/test_catalog_quotas.py"
        "::test_the_reservation_of_a_process_that_died_is_given_back_but_for_what_it_had_reported",
    ),
    Guard(
        "storage is bounded by the statement that counts it",
        "ingest/catalog/quotas.py",
        "stored_content.c[quota.value] + amount <= limited[quota]",
        "stored_content.c[quota.value] >= 0",
        "tests/contract/test_catalog_quotas.py::test_uploads_at_once_store_no_more_than_they_may",
    ),
    Guard(
        "runs are metered",
        "api/answer_work.py",
        ", wanted=wants)",
        ")",
        "tests/integration/test_quotas.py::test_no_route_spends_anything_once_the_quotas_are_used_up",
    ),
    Guard(
        "answers are metered",
        "api/quotas.py",
        "limits.within(reserved)",
        "limits",
        "tests/integration/test_quotas.py"
        "::test_an_answer_that_a_quota_cuts_short_says_so_and_not_that_its_budget_is_over",
    ),
    Guard(
        "who waits goes before the background",
        "rlm/llm/rate_limit.py",
        "for each in self._lines.values() if each.tenants",
        "for each in reversed(self._lines.values()) if each.tenants",
        "tests/unit/rlm/llm/test_rate_limit.py::test_answers_that_clients_wait_for_go_before_those_in_the_background",
    ),
    Guard(
        "tenants in turn",
        "rlm/llm/rate_limit.py",
        "        self.tenants.move_to_end(tenant_id)\n",
        "",
        "tests/unit/rlm/llm/test_rate_limit.py"
        "::test_a_tenant_with_many_runs_gets_no_more_turns_than_one_with_a_single_run",
    ),
    Guard(
        "a newcomer's answer places",
        "api/answer_threads.py",
        "self._spare if others and has_less else 0",
        "0",
        "tests/unit/api/test_answer_events.py"
        "::test_one_tenant_gets_all_places_and_another_gets_in_at_once_up_to_its_share",
    ),
    Guard(
        "the key before the body",
        "api/admission.py",
        "        caller = await self._caller(scope)",
        '        while (await receive()).get("more_body"):\n            pass\n'
        "        caller = await self._caller(scope)",
        "tests/integration/test_bounds.py::test_a_request_without_a_key_is_refused_before_its_body_comes -o timeout=60",
    ),
    Guard(
        "bodies without a length are counted",
        "api/bounds.py",
        "            if len(body) > self._max_bytes:\n                raise self._too_large()\n            if not",
        "            if not",
        "tests/integration/test_bounds.py"
        "::test_a_body_above_the_limit_is_refused_unread_and_counted_where_no_length_is_announced",
    ),
    Guard(
        "slow bodies are given up",
        "api/bounds.py",
        "self._idle_seconds - self._waited)",
        "self._idle_seconds)",
        "tests/integration/test_bounds.py::test_a_body_that_trickles_is_given_up",
    ),
    Guard(
        "nesting is found before JSON is parsed",
        "ingest/inbound.py",
        "    _require_shallow(text, at)\n",
        "",
        "tests/unit/ingest/test_inbound.py::test_values_nobody_can_keep_are_refused_with_their_place",
    ),
    Guard(
        "text without surrogates and NUL",
        "ingest/inbound.py",
        "        check_value(value, at)\n    return value",
        "        pass\n    return value",
        "tests/security/test_inbound_text.py::test_every_text_of_a_request_refuses_it_and_names_the_place",
    ),
    Guard(
        "old values are sent with replacements",
        "api/schemas.py",
        "value if isinstance(value, float) else sendable(value)",
        "value",
        "tests/integration/test_bounds.py::test_listings_survive_what_was_stored_before_it_was_checked",
    ),
    Guard(
        "a tenant never has every place",
        "api/turns.py",
        "max(1, places - places // 4)",
        "places",
        "tests/unit/api/test_turns.py::test_a_tenant_alone_leaves_a_quarter_for_others",
    ),
    Guard(
        "rewrites have places of their own",
        "api/routes/search.py",
        "    place.leave()\n",
        "",
        "tests/integration/test_bounds.py::test_rewrites_hold_no_thread_that_others_need",
    ),
    Guard(
        "streams are bounded",
        "api/routes/batches.py",
        "    await place.trade(streams)\n",
        "",
        "tests/integration/test_bounds.py::test_streams_are_bounded_for_a_tenant_and_in_all",
    ),
    Guard(
        "heads have a time",
        "api/cli/http_protocol.py",
        "self._head_timer = self.loop.call_later(self.head_seconds, self._give_up)",
        "pass",
        "tests/integration/test_http_protocol.py::test_a_head_that_does_not_come_whole_closes_its_connection",
    ),
    Guard(
        "hung steps are ended",
        "workers/threads.py",
        "        self._end_hung_steps()\n        if",
        "        if",
        "tests/unit/workers/test_steps.py"
        "::test_a_step_that_runs_for_ever_is_interrupted_and_its_document_fails_after_its_attempts -o timeout=90",
    ),
    Guard(
        "problems name no host",
        "ingest/errors.py",
        "if self.public_detail else",
        "if False else",
        "tests/integration/test_health.py::test_what_users_are_told_names_no_host_user_address_or_file",
    ),
    Guard(
        "health tells states alone",
        "api/services.py",
        'return "unavailable"',
        "return str(error)",
        "tests/integration/test_health.py::test_without_its_index_a_process_still_gets_uploads",
    ),
    Guard(
        "unknown variables are refused",
        "api/cli/environment.py",
        "    require_known(os.environ)\n    files",
        "    files",
        "tests/unit/api/cli/test_environment.py::test_a_misspelt_variable_stops_the_start_and_names_the_nearest_one",
    ),
    Guard(
        "the first key is in no log",
        "api/cli/up.py",
        "if console.file.isatty():",
        "if True:",
        "tests/unit/api/cli/test_up.py::test_where_nobody_reads_along_the_first_key_goes_into_a_file_of_its_user",
    ),
    Guard(
        "invisible text of a PDF",
        "ingest/parsing/pdf/characters.py",
        "or (kind.invisible and not self._keep_invisible)",
        "",
        "tests/unit/ingest/test_pdf_layout.py::test_text_that_a_reader_cannot_see_is_left_out_and_counted",
    ),
    Guard(
        "lost pages of a repaired PDF",
        "ingest/parsing/pdf/opening.py",
        "if lost or not found:",
        "if not found:",
        "tests/unit/ingest/test_pdf.py::test_a_pdf_that_lost_pages_is_not_passed_off_as_the_whole",
    ),
    Guard(
        "pages whose pictures may be read",
        "ingest/parsing/ocr/allowance.py",
        "if _allowance.pages <= 0:",
        "if False:",
        "tests/unit/ingest/test_ocr.py::test_no_more_pictures_may_be_read_than_are_allowed",
    ),
    Guard(
        "pixels of an image",
        "ingest/parsing/ocr/images.py",
        "if width * height > MAX_PIXELS:",
        "if False:",
        "tests/unit/ingest/test_ocr.py::test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded",
    ),
    Guard(
        "no picture is read with the limits of other documents",
        "ingest/parsing/ocr/allowance.py",
        "        raise RecognitionNeeded",
        "        return True",
        "tests/unit/ingest/test_ocr.py::test_a_process_that_may_read_no_pictures_asks_for_it",
    ),
    Guard(
        "the version that a span counts in",
        "api/routes/contents.py",
        "    if version not in (None, active):",
        "    if False:",
        "tests/integration/test_contents.py::test_a_span_of_a_former_version_is_refused_and_says_why",
    ),
    Guard(
        "size that a zip states",
        "ingest/parsing/zip_guard.py",
        "    if total > limits.total_bytes:",
        "    if False:",
        "tests/unit/ingest/test_zip_guard.py::test_an_archive_beyond_a_limit_is_refused",
    ),
    Guard(
        "inflation of a zip's entry",
        "ingest/parsing/zip_guard.py",
        "if entry.file_size > max(limits.ratio_free_bytes, limits.ratio * entry.compress_size):",
        "if False:",
        "tests/unit/ingest/test_zip_guard.py::test_an_archive_beyond_a_limit_is_refused",
    ),
    Guard(
        "number of a zip's entries",
        "ingest/parsing/zip_guard.py",
        "if len(entries) > limits.entries:",
        "if False:",
        "tests/unit/ingest/test_zip_guard.py::test_an_archive_beyond_a_limit_is_refused",
    ),
    Guard(
        "entries of a zip that overlap",
        "ingest/parsing/zip_guard.py",
        "if sum(entry.compress_size for entry in entries) > file_bytes:",
        "if False:",
        "tests/unit/ingest/test_zip_guard.py::test_entries_that_share_their_bytes_are_refused",
    ),
    Guard(
        "entities in the parts of a document",
        "ingest/parsing/office/package.py",
        "if _MORE_THAN_A_DOCUMENT_TYPE.search(narrow):",
        "if False:",
        "tests/unit/ingest/test_docx.py::test_a_broken_document_fails_with_what_is_wrong",
    ),
    Guard(
        "cells that a table's spans ask for",
        "ingest/parsing/grid.py",
        "if cells > MAX_CELLS:",
        "if False:",
        "tests/unit/ingest/test_grid.py::test_spans_that_ask_for_too_many_cells_are_refused",
    ),
    Guard(
        "hidden elements of a page",
        "ingest/parsing/html_tree.py",
        'return _hidden_style.search(element.get("style", "")) is not None',
        "return False",
        "tests/unit/ingest/test_html.py::test_hidden_elements_are_left_out_and_counted",
    ),
    Guard(
        "hidden text of a Word document",
        "ingest/parsing/office/docx_inline.py",
        "if properties is not None and self._is_hidden(properties):",
        "if False:",
        "tests/unit/ingest/test_docx.py::test_hidden_text_is_left_out_and_counted",
    ),
    Guard(
        "hidden slides",
        "ingest/parsing/office/pptx.py",
        'if root.get("show") in {"0", "false"}:',
        "if False:",
        "tests/unit/ingest/test_pptx.py::test_hidden_slides_and_shapes_and_slides_without_text_are_counted",
    ),
    Guard(
        "heads that GPUs cannot share out are refused",
        "api/sizing/memory.py",
        "if checkpoint.cached_heads > 1 and checkpoint.cached_heads % gpus and gpus % checkpoint.cached_heads:",
        "if False:",
        "tests/unit/api/sizing/test_memory.py::test_more_gpus_share_weights_and_heads_and_copy_a_latent_cache",
    ),
    Guard(
        "no more sequences are planned for than a server takes",
        "api/sizing/memory.py",
        "return min(int(self.sequences(tokens)), self.options.max_num_seqs)",
        "return int(self.sequences(tokens))",
        "tests/unit/api/sizing/test_memory.py::test_no_more_run_at_once_than_the_server_takes",
    ),
    Guard(
        "a model that is too large holds no tokens",
        "api/sizing/memory.py",
        "        if self.cache <= 0:\n            return 0.0\n",
        "",
        "tests/unit/api/sizing/test_memory.py::test_a_model_that_is_too_large_does_not_fit",
    ),
    Guard(
        "a window bounds the cache that is planned for",
        "api/sizing/checkpoint.py",
        "min(tokens, self.window)",
        "tokens",
        "tests/unit/api/sizing/test_checkpoint.py::test_a_window_bounds_the_cache_of_its_layers",
    ),
    Guard(
        "a window that is switched off bounds no cache",
        "api/sizing/checkpoint.py",
        ' or self._config.get("use_sliding_window") is False',
        "",
        "tests/unit/api/sizing/test_checkpoint.py::test_a_window_that_is_switched_off_bounds_nothing",
    ),
    Guard(
        "a configuration that is no object is no checkpoint",
        "api/sizing/checkpoint.py",
        "if not isinstance(config, dict):",
        "if False:",
        "tests/unit/api/sizing/test_checkpoint.py::test_what_cannot_be_computed_is_said",
    ),
    Guard(
        "a quantization of unknown size is refused",
        "api/sizing/checkpoint.py",
        'raise CheckpointError(f"The size of weights quantized by {method!r} is not known.")',
        "return 8 * _BF16_BYTES",
        "tests/unit/api/sizing/test_checkpoint.py::test_what_cannot_be_computed_is_said",
    ),
    Guard(
        "vectors that do not fit into memory are quantized",
        "api/sizing/documents.py",
        "if full <= room * most:",
        "if True:",
        "tests/unit/api/sizing/test_service.py::test_vectors_stay_in_full_while_they_fit",
    ),
    Guard(
        "more chunks than one process searches quickly are a cluster",
        "api/sizing/documents.py",
        "corpus.chunks <= _MOST_EMBEDDED_CHUNKS and ",
        "",
        "tests/unit/api/sizing/test_service.py::test_what_one_process_cannot_search_hold_or_answer_is_a_cluster",
    ),
    Guard(
        "more memory than a machine has is a cluster",
        "api/sizing/documents.py",
        " and needs.memory_bytes <= machine_memory_bytes * _VECTOR_SHARE",
        "",
        "tests/unit/api/sizing/test_service.py::test_what_one_process_cannot_search_hold_or_answer_is_a_cluster",
    ),
    Guard(
        "more questions than one process answers are a cluster",
        "api/sizing/service.py",
        "and wanted.questions_an_hour <= _ONE_PROCESS_QUESTIONS",
        "and True",
        "tests/unit/api/sizing/test_service.py::test_what_one_process_cannot_search_hold_or_answer_is_a_cluster",
    ),
    Guard(
        "documents that one machine cannot index in time are a cluster",
        "api/sizing/service.py",
        "and needs.seconds(wanted.cores) <= wanted.index_hours * 3600",
        "and True",
        "tests/unit/api/sizing/test_service.py::test_documents_that_must_be_there_soon_are_a_cluster",
    ),
    Guard(
        "answers that come too late are no plan",
        "api/sizing/questions.py",
        "report if report.seconds and report.seconds[0.95] <= p95_seconds else None",
        "report",
        "tests/unit/api/sizing/test_service.py::test_servers_grow_with_questions_and_shrink_with_patience",
    ),
    Guard(
        "a full queue takes no more in a simulation",
        "api/sizing/simulation.py",
        "elif queue.station.queue is not None and len(queue.waiting) >= queue.station.queue:",
        "elif False:",
        "tests/unit/api/sizing/test_simulation.py::test_a_full_queue_refuses_and_no_question_is_lost_or_counted_twice",
    ),
    Guard(
        "work of a place that failed is not done twice in a simulation",
        "api/sizing/simulation.py",
        "        if question is None:  # its place failed meanwhile\n            return\n",
        "",
        "tests/unit/api/sizing/test_simulation.py::test_failures_take_places_away_and_their_work_begins_again",
    ),
)


def bites(guard: Guard) -> bool:
    """Whether the test fails without the guard, and passes with it."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for part in _PARTS:
            source = _ROOT / part
            if source.is_dir():
                shutil.copytree(source, root / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, root / part)
        if not _passes(root, guard.test):
            print(f"{guard.name}: the test fails as it is")
            return False
        file = root / guard.file
        text = file.read_text()
        if text.count(guard.text) != 1:
            print(f"{guard.name}: {guard.file} has {text.count(guard.text)} places that say {guard.text!r}")
            return False
        file.write_text(text.replace(guard.text, guard.without))
        return not _passes(root, guard.test)


def _passes(root: Path, test: str) -> bool:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *test.split()]
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, check=False).returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("guard", nargs="*", help=", ".join(guard.name for guard in GUARDS))
    chosen = parser.parse_args().guard
    silent = 0
    for guard in GUARDS:
        if not chosen or guard.name in chosen:
            found = bites(guard)
            silent += not found
            print(
                f"{guard.name:45} {'its test fails without it' if found else 'NOT NOTICED'}: {guard.test}", flush=True
            )
    return 1 if silent else 0


if __name__ == "__main__":
    sys.exit(main())
