"""
All rules, in the order of their ids; docs/howto/audit.md has the same table, held to it by a test.

Ids are promises: pipelines silence findings by them. The tens are themes, and a rule that goes
leaves its number unused.
"""

from __future__ import annotations

from typing import Final

from proxy.audit import callers, credentials, doors, files, operation, powers, routes, unused
from proxy.audit.rule import Rule

RULES: Final[tuple[Rule, ...]] = (
    Rule(
        "AP001", "secret-written-out", "high", "A secret stands in the configuration itself",
        "The file is copied, reviewed and backed up by more people than may be this service user.",
        credentials.written_out,
    ),
    Rule(
        "AP002", "personal-access-token", "low", "A service user has a personal access token",
        "The one long-lived token travels with every request, and whoever sees it has it until its end.",
        credentials.personal_access_token,
    ),
    Rule(
        "AP003", "token-without-end", "medium", "A personal access token's end is not written down",
        "The token does not say when it ends, so nobody is warned, or it never does.",
        credentials.token_without_end,
    ),
    Rule(
        "AP004", "credential-ended", "high", "A key or token has ended",
        "Its service user falls back to another credential, or is answered for by errors.",
        credentials.ended,
    ),
    Rule(
        "AP005", "credential-ending", "medium", "A key or token ends within 30 days",
        "On that day its service user stops working, unless another credential is listed beside it.",
        credentials.ending,
    ),
    Rule(
        "AP006", "client-secret", "low", "A client sends a secret where it could sign with a key",
        "A secret is known to the issuer and crosses the network; a private key does neither.",
        credentials.client_secret,
    ),
    Rule(
        "AP007", "secret-in-environment", "note", "A secret comes in an environment variable",
        "What a process was started with is shown by container tools, and cannot be changed without a restart.",
        credentials.in_environment,
    ),
    Rule(
        "AP008", "key-without-end", "note", "A key never ends",
        "A copy somebody made years ago still works.",
        credentials.key_without_end,
    ),
    Rule(
        "AP010", "file-changed-by-others", "high", "Every user of the machine may change a file",
        "Whoever writes the configuration, a key or an authority decides where tokens go.",
        files.changed_by_others,
    ),
    Rule(
        "AP011", "file-changed-by-group", "medium", "A file's group may change it",
        "Whoever writes the configuration, a key or an authority decides where tokens go.",
        files.changed_by_group,
    ),
    Rule(
        "AP012", "secret-read-by-group", "note", "A secret's group may read it",
        "Everybody in the group can be this service user.",
        files.read_by_group,
    ),
    Rule(
        "AP013", "written-out-and-readable", "high", "A configuration that holds a secret is readable for more than its owner",
        "The file's rights are now the secret's.",
        files.written_out_and_readable,
    ),
    Rule(
        "AP014", "secret-in-work-tree", "note", "A secret lies in a git work tree",
        "One careless commit publishes it, and its history keeps it.",
        files.in_work_tree,
    ),
    Rule(
        "AP020", "anonymous-listener", "high", "Other machines may use a listener without saying who they are",
        "The network then is the only thing between anybody and the service users' rights.",
        doors.anonymous,
    ),
    Rule(
        "AP021", "listener-without-tls", "medium", "Other machines reach a listener over plain HTTP",
        "Whoever listens on the way learns callers' keys, and what upstreams answer.",
        doors.keys_in_clear,
    ),
    Rule(
        "AP022", "shared-host", "note", "A listener on loopback asks nobody who they are",
        "Loopback is open to every user and program of the machine, not to one.",
        doors.shared_host,
    ),
    Rule(
        "AP023", "admin-exposed", "medium", "Other machines reach the admin listener without a key",
        "It shows routes, service users, and their state.",
        operation.admin_without_key,
    ),
    Rule(
        "AP024", "any-host", "medium", "A listener answers to every name",
        "A web page whose name is made to lead to this machine is then let in.",
        doors.any_host,
    ),
    Rule(
        "AP025", "browsers-allowed", "medium", "A listener takes what web pages send",
        "Any site a person visits can send requests that get a token here.",
        doors.browsers,
    ),
    Rule(
        "AP026", "guessable-key", "medium", "A caller's key is one that everybody tries first",
        "Whoever has read the documents is this caller.",
        callers.guessable_key,
    ),
    Rule(
        "AP027", "reported-only", "medium", "A list of callers is not enforced",
        "Whoever is not on it is let through, so it protects nothing yet.",
        doors.reported_only,
    ),
    Rule(
        "AP028", "known-by-address", "medium", "A caller is known by its network alone",
        "Everything in that network, and whatever is taken over there, is this caller.",
        callers.known_by_address,
    ),
    Rule(
        "AP029", "known-too-widely", "medium", "A caller is nearly everybody of an issuer or trust domain",
        "Whoever gets any token or certificate there is this caller.",
        callers.known_too_widely,
    ),
    Rule(
        "AP030", "plain-issuer", "high", "Secrets go to an issuer over plain HTTP",
        "Whoever listens on the way gets what mints tokens.",
        routes.plain_issuer,
    ),
    Rule(
        "AP031", "plain-upstream", "high", "Tokens go to an upstream over plain HTTP",
        "Whoever listens on the way has the token (RFC 6750 §5.3).",
        routes.plain_upstream,
    ),
    Rule(
        "AP032", "catch-all", "medium", "A route takes any request",
        "Callers get more of the service user's rights than anybody decided to give.",
        routes.catch_all,
    ),
    Rule(
        "AP033", "catch-all-at-apis", "high", "A route takes any request, with a token that is good for ZITADEL's APIs",
        "Callers can do all that the service user may do, to users and organisations too.",
        routes.catch_all_at_apis,
    ),
    Rule(
        "AP034", "authorization-kept", "low", "Callers may bring a credential of their own",
        "The route then no longer says as whom requests are made, and the log cannot.",
        routes.callers_own,
    ),
    Rule(
        "AP035", "replay-always", "medium", "Every request is sent again after a 401, though not to ZITADEL",
        "An upstream that acts before it checks the token acts twice.",
        routes.replays_elsewhere,
    ),
    Rule(
        "AP036", "metadata-allowed", "high", "An upstream may turn out to be a cloud's metadata service",
        "Whoever runs the upstream's name servers can have requests answered with this machine's cloud credentials.",
        routes.metadata_allowed,
    ),
    Rule(
        "AP037", "inner-addresses-allowed", "medium", "An upstream may turn out to be this machine or its link",
        "Whoever runs the upstream's name servers can have a token sent to whatever listens there.",
        routes.inner_allowed,
    ),
    Rule(
        "AP038", "needless-permission", "note", "Something is permitted that needs no permission",
        "A permission without effect hides the ones that have one.",
        routes.needless_permission,
    ),
    Rule(
        "AP039", "token-echo-allowed", "medium", "Answers may repeat the service user's token",
        "An upstream that shows the headers it got hands the token to every caller.",
        routes.echo_allowed,
    ),
    Rule(
        "AP040", "unrelated-domains", "medium", "One service user's token goes to upstreams of different owners",
        "Each of them can use the token at the others.",
        powers.unrelated_domains,
    ),
    Rule(
        "AP041", "unrelated-callers", "low", "Callers that share no route share a service user",
        "Upstreams cannot tell them apart, and its rights are what all of them need together.",
        powers.unrelated_callers,
    ),
    Rule(
        "AP042", "idle-scope", "low", "A scope has no effect",
        "ZITADEL drops what it does not know without an error, so a right that was meant is missing.",
        powers.idle_scope,
    ),
    Rule(
        "AP043", "broad-scope", "low", "A token shows roles in all projects",
        "Each upstream learns, and may accept, roles that were given for another.",
        powers.broad_scope,
    ),
    Rule(
        "AP044", "idle-power", "medium", "A token is good for ZITADEL's APIs and never goes there",
        "An upstream that leaks or misuses the token reaches ZITADEL with it.",
        powers.idle_power,
    ),
    Rule(
        "AP045", "system-user", "medium", "A system user's tokens are used",
        "The System API can change or delete every instance.",
        powers.system_user,
    ),
    Rule(
        "AP050", "service-user-unused", "low", "No route uses a service user",
        "A credential nobody watches is one nobody misses.",
        unused.service_user,
    ),
    Rule(
        "AP051", "issuer-unused", "note", "An issuer is not used",
        "What is not needed is not looked after.",
        unused.issuer,
    ),
    Rule(
        "AP052", "caller-unused", "low", "No listener and no route names a caller",
        "Its key still tells this caller from a stranger wherever no list is written.",
        unused.caller,
    ),
    Rule(
        "AP060", "admin-in-clear", "low", "Operators' keys cross the network to the admin listener",
        "The admin listener speaks plain HTTP, so whoever listens on the way is an operator afterwards.",
        operation.admin_in_clear,
    ),
    Rule(
        "AP061", "admin-on-shared-host", "note", "The admin listener on loopback asks for no key",
        "Loopback is open to every user and program of the machine, not to operators alone.",
        operation.admin_on_shared_host,
    ),
    Rule(
        "AP062", "no-record", "note", "Callers are told apart, and no record is kept",
        "After a leak nobody can say whose requests took which token where.",
        operation.no_record,
    ),
    Rule(
        "AP063", "unlimited", "note", "Nobody's number of requests has a limit",
        "One caller can use up what the issuer and the upstreams grant to all.",
        doors.unlimited,
    ),
)  # fmt: skip
