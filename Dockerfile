# The program alone, for a user without rights, with nothing else in the image: no shell, no package manager. Of its file system
# only the volume has to be writable. How to run it: deploy/README.md, "An image".
#
#   docker build --build-arg VERSION=v1.2.3 --tag authenta-ingest .

FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY . .
ARG TARGETOS
ARG TARGETARCH
ARG VERSION
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -ldflags="-s -w -X main.release=$VERSION" -o /image/usr/local/bin/authenta-ingest ./cmd/authenta-ingest
RUN mkdir -p /image/etc/ssl/certs /image/tmp /image/var/lib /state/authenta-ingest && \
    cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ && chmod 1777 /image/tmp && chmod 0700 /state/authenta-ingest

FROM scratch
ARG VERSION
LABEL org.opencontainers.image.title="authenta-ingest" \
      org.opencontainers.image.description="Has media files judged as they arrive, and publishes the verdicts on NATS" \
      org.opencontainers.image.source="https://github.com/authenta/authenta-ingest" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION"
COPY --from=build /image /
COPY --from=build --chown=65532:65532 /state /var/lib
USER 65532:65532
# A folder for copies is made in the volume, unless TMPDIR says another one: they may be as large as the largest files.
ENV PATH=/usr/local/bin \
    INGEST_STATE_DIR=/var/lib/authenta-ingest \
    TMPDIR=/var/lib/authenta-ingest/tmp \
    INGEST_HTTP=:8080
VOLUME /var/lib/authenta-ingest
EXPOSE 4222 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=2m --retries=3 CMD ["authenta-ingest", "health"]
ENTRYPOINT ["authenta-ingest"]
CMD ["run"]
