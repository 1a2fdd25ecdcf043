# syntax=docker/dockerfile:1

# Build: a virtual environment with the package and its dependencies, nothing else.
FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY proxy ./proxy
RUN python -m venv /opt/authproxy \
    && /opt/authproxy/bin/pip install --no-cache-dir --disable-pip-version-check .

# Run: no compiler, no sources, no root.
FROM python:3.13-slim
LABEL org.opencontainers.image.title="authproxy" \
      org.opencontainers.image.description="Attaches the right ZITADEL service user's token to outbound API calls" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/authproxy /opt/authproxy
ENV PATH=/opt/authproxy/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1
# proxy.yaml is looked for in /etc/authproxy; the AUTHPROXY_ variables alone do as well.
USER 65532:65532
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s CMD ["authproxy", "health"]
ENTRYPOINT ["authproxy"]
CMD ["run"]
