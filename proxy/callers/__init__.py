"""
Who calls: what a request shows of its caller, and whom of the configuration that is.

Evidence      what is known of the other end: address, user and group, certificate, credential
Registry      the callers of a configuration; evidence → name: by what is shown (`credential`) or by the
              `connection`; made of settings by `compiling`
Verifier      an issuer's word on a credential, from memory or asked for
  jwt            a `Verifier` of JWTs, by the issuer's keys (`jwks`) and what they signed (`jws`)
  introspection  a `Verifier` of any token, which asks the issuer (`introspection_answer`)
  claims         whether claims are meant for this proxy, and for how long they hold
  verdicts       what is remembered of credentials that were checked
  client         as which client an issuer is asked
"""
