from __future__ import annotations

from pathlib import Path

from proxy.config.model import Settings
from proxy.config.reading import compile_issuer


def test_an_issuer_is_compiled_with_every_address_that_was_written():
    """
    A Kubernetes cluster's keys are where its discovery document does not lead, so they are written.
    """
    url = "https://kubernetes.default.svc"
    settings = Settings.model_validate(
        {
            "version": 1,
            "issuers": {
                "cluster": {
                    "url": url,
                    "connect_to": "https://10.0.0.1",
                    "token_endpoint": f"{url}/token",
                    "jwks_uri": f"{url}/openid/v1/jwks",
                    "introspection_endpoint": f"{url}/ask",
                    "ca_file": "ca.pem",
                }
            },
            "service_users": {
                "u": {
                    "issuer": "cluster",
                    "method": "personal_access_token",
                    "token": {"env": "X"},
                }
            },
            "routes": [{"name": "r", "match": {"path": "/"}, "upstream": url, "service_user": "u"}],
        }
    )

    issuer = compile_issuer("cluster", settings.issuers["cluster"], Path("/etc/authproxy"))

    assert (issuer.name, issuer.url, issuer.connect_to) == ("cluster", url, "https://10.0.0.1")
    assert issuer.token_endpoint == f"{url}/token"
    assert issuer.jwks_uri == f"{url}/openid/v1/jwks"
    assert issuer.introspection_endpoint == f"{url}/ask"
    assert issuer.ca_file == "/etc/authproxy/ca.pem"
