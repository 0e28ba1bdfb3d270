# syntax=docker/dockerfile:1
# Both services in one image without a shell. The builder's Debian release is the one that the final image is made of:
# the binaries use its C library.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --package claviger-keyvault --package claviger-routing \
    && install -D --target-directory=/out/usr/local/bin target/release/claviger-keyvault target/release/claviger-routing \
    && install -d -m 0750 /out/var/lib/claviger

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out/usr/local/bin/ /usr/local/bin/
# The data directory: the process does not run as root, so it cannot make it.
COPY --from=build --chown=65532:65532 /out/var/lib/claviger /var/lib/claviger
USER 65532:65532
EXPOSE 50051 50052 50061 50062 9464 9465
# Name the service to run: claviger-keyvault serve, or claviger-routing serve.
CMD ["/usr/local/bin/claviger-keyvault", "--help"]
