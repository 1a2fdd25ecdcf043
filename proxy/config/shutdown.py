"""
How the proxy ends.
"""

from __future__ import annotations

from typing import Annotated

from proxy.config.quantity import duration, setting
from proxy.config.section import Section


class Shutdown(Section):
    """
    What happens between SIGTERM and the end; each with its unit.
    """

    delay: Annotated[float, duration(0.0, 600.0)] = setting(
        "0s",
        "How long to go on accepting and serving while /readyz says not ready already, for "
        "balancers that find that out late (in Kubernetes: 5s to 15s).",
    )
    grace: Annotated[float, duration(0.1, 3600.0)] = setting(
        "30s",
        "How long requests in flight are then given to end; keep delay and grace together below "
        "what the service manager allows.",
    )
