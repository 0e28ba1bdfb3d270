//! Compiles the protos without protoc: descriptors by protox, code by tonic-prost-build.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost::Message;

/// Messages that carry a secret or its seal. Their `Debug` is written by hand, in `src/redacted.rs`.
const NO_DEBUG: [&str; 14] = [
    "claviger.keyvault.v1.Secret",
    "claviger.keyvault.v1.Secret.kind",
    "claviger.keyvault.v1.CreateProviderKeyRequest",
    "claviger.keyvault.v1.ReplaceProviderKeySecretRequest",
    "claviger.keyvault.v1.RevokeLeakedSecretRequest",
    "claviger.keyvault.v1.CompleteProviderOAuthRequest",
    "claviger.keyvault.v1.FirstKey",
    "claviger.keyvault.v1.CreateWorkspaceRequest",
    "claviger.keyvault.v1.SealedKey",
    "claviger.keyvault.v1.Welcome",
    "claviger.routing.v1.Credential",
    "claviger.routing.v1.Header",
    "claviger.routing.v1.QueryParameter",
    "claviger.routing.v1.HttpFacts",
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut files = Vec::new();
    collect(&root.join("claviger"), &mut files)?;
    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_source_info(true).include_imports(true);
    let descriptors = compiler.open_files(&files)?.file_descriptor_set();
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().skip_debug(NO_DEBUG).compile_fds(descriptors)?;
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        println!("cargo::rerun-if-changed={}", path.display());
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "proto") {
            files.push(path);
        }
    }
    files.sort();
    Ok(())
}
