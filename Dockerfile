# syntax=docker/dockerfile:1
#
#   docker build -t authproxy .
#   docker build -t authproxy --build-arg EXTRAS="otel" .     # extras of pyproject.toml, separated by blanks

ARG PYTHON=3.13-slim-trixie

# Build: a virtual environment with the package and its dependencies, nothing else; not even pip.
FROM python:${PYTHON} AS build
ARG EXTRAS=""
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python -m venv --without-pip /opt/authproxy
# Dependencies come first, and as wheels only: they are a layer that stays as long as pyproject.toml
COPY pyproject.toml ./
RUN --mount=type=cache,target=/root/.cache/pip \
    python -c 'import sys, tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; extras = project["optional-dependencies"]; print(*project["dependencies"], *(one for name in sys.argv[1:] for one in extras[name]), sep="\n")' \
      $EXTRAS > requirements.txt \
    && python -m pip --python /opt/authproxy/bin/python install --no-compile --only-binary :all: \
      --requirement requirements.txt
COPY README.md LICENSE ./
COPY proxy ./proxy
# Compiled here, for nobody may write there later; without dates, so that the same sources give the same files
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m pip --python /opt/authproxy/bin/python install --no-compile --no-deps . \
    && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/authproxy/lib

# Run: no compiler, no sources, no package installer, no root.
FROM python:${PYTHON}
ARG VERSION=""
ARG REVISION=""
LABEL org.opencontainers.image.title="authproxy" \
      org.opencontainers.image.description="Attaches the right ZITADEL service user's token to outbound API calls" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/zitadel-authproxy/zitadel-authproxy" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/authproxy /opt/authproxy
# The base image leaves Python's own modules uncompiled: those that are used here are compiled by using them once
RUN python -m pip uninstall --yes --quiet --root-user-action ignore pip \
    && /opt/authproxy/bin/python -c 'import proxy.cli.check, proxy.cli.health, proxy.cli.sandbox, proxy.cli.serve'
ENV PATH=/opt/authproxy/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1
# proxy.yaml is looked for in /etc/authproxy; the AUTHPROXY_ variables alone do as well.
USER 65532:65532
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --start-interval=1s CMD ["authproxy", "health"]
ENTRYPOINT ["authproxy"]
CMD ["run"]
