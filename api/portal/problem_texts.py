"""Describes problems to people who open a page: what happened, and what they can do now."""

from dataclasses import dataclass, replace

from api.http.problems import ProviderRefusedError
from api.languages.catalogue import Texts
from ingest.storage.errors import LeadlineError


@dataclass(frozen=True)
class PageProblem:
    """The texts and links of a page about a problem.

    Attributes:
        links: pairs of a text and an address, in the order in which they are shown.
        reloads: whether the page reloads itself once the service is ready.
    """

    status: int
    title: str
    message: str
    links: tuple[tuple[str, str], ...] = ()
    reloads: bool = False


def describe_problem(texts: Texts, code: str, status: int) -> PageProblem:
    """Describe a problem of the API in the language of `texts`."""
    t = texts.translate
    ask, library, runs = (t("Ask a question"), "/ask"), (t("Library"), "/library"), (t("Runs"), "/runs")
    sign_in = (t("Sign in"), "/sign-in")
    match code:
        case "document_not_found":
            message = t("It was deleted, or you do not have permission to see it.")
            return PageProblem(404, t("Document not found"), message, (library, ask))
        case "conversation_not_found":
            message = t("It was deleted, is no longer stored, or belongs to somebody else.")
            return PageProblem(404, t("Conversation not found"), message, (ask, library))
        case "run_not_found":
            message = t("It is no longer stored, or belongs to somebody else.")
            return PageProblem(404, t("Run not found"), message, (runs, ask))
        case "share_not_found":
            message = t("The link has expired or was revoked. Ask the person who sent it for a new one.")
            return PageProblem(404, t("Link not found"), message, (ask, library))
        case "unauthorized":
            return PageProblem(
                401, t("Sign in to continue"), t("This page is only for people who are signed in."), (sign_in,)
            )
        case "identity_provider_unavailable":
            message = t(
                "Your organisation’s sign-in does not respond. Try again in a moment, or sign in with an API key."
            )
            return PageProblem(503, t("Sign-in not available"), message, (sign_in,))
        case "https_required":
            message = t("Signing in needs an encrypted connection. Ask your administrator for the address with https.")
            return PageProblem(403, t("Connection not encrypted"), message)
        case "address_limit" | "too_many_requests" | "quota_exceeded":
            message = t("Leadline gets too many requests from you or your network. Try again in a minute.")
            return PageProblem(status, t("Too many requests"), message)
        case "head_too_large":
            return PageProblem(
                status, t("Address too long"), t("Remove some filters from the address."), (library, ask)
            )
    found = _describe_status(texts, status)
    return replace(found, links=found.links or (ask, library))


@dataclass(frozen=True)
class SignInProblem:
    """The texts about a sign-in with the identity provider that failed.

    Attributes:
        reason: the provider's own words, which are not translated; empty if it gave none.
        admin_advice: what an administrator can do.
    """

    message: str
    advice: str
    reason: str = ""
    admin_advice: str = ""


def describe_sign_in_error(texts: Texts, error: LeadlineError) -> SignInProblem:
    """Describe why signing in with the identity provider failed: what happened, and what to do now."""
    t = texts.translate
    match error.code:
        case "identity_provider_unavailable":
            message = t("Your organisation’s sign-in does not respond.")
            return SignInProblem(message, t("Try again in a moment, or sign in with an API key."))
        case "https_required":
            message = t("Signing in is only possible over an encrypted connection.")
            return SignInProblem(message, t("Ask your administrator for the address that begins with https."))
    message = t("Your organisation’s sign-in did not succeed.")
    advice = t("Try again. If it fails again, tell your administrator.")
    if isinstance(error, ProviderRefusedError):
        reason = f"{error.refusal_code}: {error.description}" if error.description else error.refusal_code
        return SignInProblem(message, advice, reason, _advise_on_refusal(texts, error.refusal_code))
    return SignInProblem(message, advice)


def _advise_on_refusal(texts: Texts, code: str) -> str:
    """Tell an administrator what to do about an error code of RFC 6749 or OpenID Connect Core, section 3.1.2.6."""
    t = texts.translate
    match code:
        case "invalid_scope":
            return t(
                "Set LEADLINE_OIDC_REQUEST_SCOPE to scopes that the client may request, or add the scopes to the "
                "client at the provider."
            )
        case "access_denied" | "consent_required" | "interaction_required":
            return t("Assign this person, or one of their groups, to the application at the provider.")
        case "invalid_client" | "unauthorized_client":
            return t(
                "Compare LEADLINE_OIDC_CLIENT_ID and LEADLINE_OIDC_CLIENT_SECRET with the client at the provider. The "
                "client must allow the authorization code flow."
            )
        case "invalid_grant" | "invalid_request":
            return t(
                "Compare the redirect URI of the client at the provider with the address of this page, and "
                "LEADLINE_PUBLIC_URL with the address in the browser."
            )
        case "server_error" | "temporarily_unavailable":
            return t("The log of the identity provider names the cause.")
    return t("Run “leadline identity check”. The log of the identity provider has more details.")


def _describe_status(texts: Texts, status: int) -> PageProblem:
    t = texts.translate
    if status == 503:
        message = t("Leadline is starting, or a part of it does not respond. This page reloads when Leadline is ready.")
        return PageProblem(status, t("Leadline is not ready yet"), message, reloads=True)
    if status >= 500:
        message = t("Try again in a moment. If this continues, give your administrator the request number below.")
        return PageProblem(status, t("Leadline made an error"), message)
    if status == 403:
        message = t("You do not have permission to see this page. Your administrator can give it to you.")
        return PageProblem(status, t("No permission"), message)
    # An address whose parts cannot be valid leads to no page either.
    message = t("There is no page at this address. The address may be mistyped or out of date.")
    return PageProblem(404 if status in (400, 422) else status, t("Page not found"), message)
