"""Renders a model's Markdown as HTML or as Slack's mrkdwn, using an allow-list.

A document may contain instructions that influence the model, so nothing in the model's text may load, link or run. The
only links are built here and in `api.answers.mrkdwn`, from citation markers such as `[1]`. They lead to the cited span
of one of our own documents.

HTML is rendered by markdown-it and then cleaned by nh3, so that a bug in either of them does no harm.
"""

from collections.abc import Collection, Mapping
from html import escape

import nh3

from api.answers.forms import CitedSpan, Form
from api.answers.markdown import MARKDOWN
from api.answers.mrkdwn import render_mrkdwn, render_mrkdwn_title
from api.answers.schemas import AnswerOut
from ingest.storage.texts.normalize import remove_invisible_characters

_TAGS = {
    *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "strong", "em", "s", "code", "pre", "blockquote"),
    *("ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td", "a"),
}
_REL = "noopener noreferrer nofollow"


def render_answer(answer: AnswerOut, formats: Collection[Form], public_url: str | None) -> AnswerOut:
    """Return an answer with its text and titles rendered in `formats`. Links in mrkdwn require a `public_url`."""
    cited = {
        each.number: CitedSpan(each.document_id, each.start, each.end) for each in answer.citations if not each.deleted
    }
    texts: dict[str, str] = {}
    titles: dict[int, dict[str, str]] = {number: {} for number in cited}
    for form in formats:
        texts[form] = render_text(form, answer.text, cited, public_url)
        for each in answer.citations:
            if each.number in cited:
                titles[each.number][form] = render_title_link(form, each.title, cited[each.number], public_url)
    citations = [each.model_copy(update=titles.get(each.number)) for each in answer.citations]
    return answer.model_copy(update={**texts, "citations": citations})


def render_text(output_format: Form, text: str, cited_spans: Mapping[int, CitedSpan], base_url: str | None) -> str:
    """Render `text` in a format, and turn the citation markers for `cited_spans` into links.

    Links in HTML are REST paths, relative to the service's address. Links in mrkdwn lead to portal pages and require
    the service's address as `base_url`. Without `base_url`, markers in mrkdwn are left unchanged.
    """
    if output_format is Form.MRKDWN:
        return render_mrkdwn(text, cited_spans, base_url)
    allowed = {each.api_path for each in cited_spans.values()}
    return nh3.clean(
        remove_invisible_characters(MARKDOWN.render(text, {"cited": cited_spans})),
        tags=_TAGS,
        attributes={"a": {"href"}, "ol": {"start"}},
        attribute_filter=lambda tag, name, value: value if name != "href" or value in allowed else None,
        link_rel=_REL,
    )


def render_title_link(output_format: Form, title: str, cited_span: CitedSpan, base_url: str | None) -> str:
    """Render a document's title as a link to the cited span. Without a `base_url`, mrkdwn contains the title alone."""
    shown = " ".join(remove_invisible_characters(title).split()) or "Untitled"
    if output_format is Form.HTML:
        return f'<a href="{escape(cited_span.api_path)}" rel="{_REL}">{escape(shown)}</a>'
    return render_mrkdwn_title(shown, cited_span, base_url)
