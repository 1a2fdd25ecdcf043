"""
An in-memory ZITADEL stand-in with a protected backend, for trying things out and for tests.

It imitates what a client of ZITADEL can observe (endpoints, checks, error answers, headers), so
that a proxy which works here works there; it stores nothing and offers no login.

sandbox
    Both servers on loopback, as one async context manager (`server.Sandbox`). Start here; how a
    request finds its answer is in `sites`.
options
    Everything that can be chosen before the start (`options.SandboxOptions`).
instance
    What both servers share: users, tokens, faults, tallies, clock (`instance.Instance`).
user, key, token
    Service users (`users`), their credentials and how they get them (`keys`, `credentials`);
    access tokens and what ends them (`tokens`); scopes and the audience they ask for (`scopes`).
origin
    Which issuer a request is meant for, computed from its headers (`origin`).
issuer side
    Parameters (`form`), who a client is (`clients`, `client_assertions`) and whether an assertion
    holds (`verify`); the token endpoint (`grants`, `exchange`); introspection and revocation
    (`introspection`); what the issuer says of itself (`discovery`) and the rest of OpenID Connect
    (`oidc`); the ZITADEL APIs (`api`) and those who sign their own tokens for them (`system`); the
    exact shape of their refusals (`replies`).
backend
    A resource server that introspects every Bearer it is shown (`backend`).
fault
    Something that goes wrong on request: which there are (`fault_list`), what their values mean
    (`fault_values`), which are on (`faults`); set in code or over HTTP (`control`). Token answers
    that are wrong (`token_faults`), nearly right (`odd_answers`) or never end (`cuts`).
hit, mint
    Requests as they were received (`hits`), token requests and what came of them (`mints`), and
    how a test waits for either (`arrivals`).
files
    Credential files and a complete proxy.yaml for this sandbox (`files`).
"""
