//! What the contract promises of every call, seen in its descriptors.
#![expect(clippy::unwrap_used, reason = "tests")]

mod mutations;
mod transcoding;

use std::path::Path;

use protox::prost_reflect::{DescriptorPool, MethodDescriptor};

fn pool() -> DescriptorPool {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    let folders = ["claviger/keyvault/v1", "claviger/routing/v1"].map(|folder| root.join(folder));
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    protox::Compiler::new([&root]).unwrap().include_imports(true).open_files(files).unwrap().descriptor_pool()
}

fn methods(pool: &DescriptorPool) -> Vec<MethodDescriptor> {
    pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}
