# The operator's image: one static program, the certificate authorities, and who it runs as. No shell, no libraries, no package manager.
# docs/image.md tells how to build it, also without an engine, and how to verify it.
#
# Each architecture is built as itself, natively or under emulation: docker buildx build --platform linux/amd64,linux/arm64 .
#
# Pinned to the digest of the index of all architectures, because a tag can be moved.
ARG RUST=rust:1.95.0-slim-bookworm@sha256:d7482085ff5b415f84dba5647ae71606650bdef00db7aeb69f4b3d170c3e4082
FROM ${RUST} AS build
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
ARG SOURCE_DATE_EPOCH=0
RUN image/assemble "$(image/build)" /image

FROM scratch
ARG VERSION=0.0.0
LABEL org.opencontainers.image.title="Rotated Secrets"
LABEL org.opencontainers.image.description="Kubernetes operator that manages the life cycle of a credential in AWS Secrets Manager"
LABEL org.opencontainers.image.licenses="Apache-2.0"
LABEL org.opencontainers.image.version="${VERSION}"
COPY --from=build /image/ /
USER 65532:65532
ENTRYPOINT ["/rotated-secrets"]
