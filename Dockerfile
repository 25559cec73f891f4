# The relay and its browser in one image: docs/docker.md says how to run it.
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY requirements/run.lock requirements/run.lock
RUN python3 -m venv /opt/relay \
 && /opt/relay/bin/pip install --no-cache-dir --require-hashes -r requirements/run.lock
COPY pyproject.toml README.md LICENSE ./
COPY relay relay
RUN /opt/relay/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM ${BASE}
# libatomic1: Playwright's driver does not start without it. Fonts: what sites in Chinese, and emoji, are drawn with.
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
      ca-certificates python3 tini libatomic1 \
      chromium chromium-headless-shell xvfb \
      fonts-liberation fonts-noto-cjk fonts-noto-color-emoji \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --no-create-home --home-dir /tmp relay \
 && install -d -o relay -g relay -m 0700 /data
COPY --from=build /opt/relay /opt/relay
COPY docker/entrypoint docker/health /opt/relay/docker/
ENV PATH=/opt/relay/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    RELAY_IN_IMAGE=1 \
    RELAY_HOME=/data \
    RELAY_HOST=0.0.0.0
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 9999
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["/opt/relay/docker/health"]
ENTRYPOINT ["tini", "--", "/opt/relay/docker/entrypoint"]
CMD ["relay", "serve"]
