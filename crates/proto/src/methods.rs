//! What the services serve, read off their own descriptors.

use prost::Message;
use prost_types::FileDescriptorSet;

/// Full method names, such as `claviger.keyvault.v1.KeyVault/GetProviderKey`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Methods {
    /// All.
    pub all: Vec<String>,
    /// Those with a stream on either side.
    pub streams: Vec<String>,
}

/// The methods of a package, such as `claviger.keyvault.v1`.
#[must_use]
pub fn methods(package: &str) -> Methods {
    // the descriptors are our own build's output; a test decodes them
    let files = FileDescriptorSet::decode(crate::DESCRIPTORS).unwrap_or_default().file;
    let mut methods = Methods::default();
    for service in files.iter().filter(|file| file.package() == package).flat_map(|file| &file.service) {
        for method in &service.method {
            let name = format!("{package}.{}/{}", service.name(), method.name());
            if method.client_streaming() || method.server_streaming() {
                methods.streams.push(name.clone());
            }
            methods.all.push(name);
        }
    }
    methods
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_descriptors_tell_every_method() {
        let vault = methods("claviger.keyvault.v1");
        assert!(vault.all.contains(&"claviger.keyvault.v1.KeyVault/CreateProviderKey".to_owned()), "{vault:?}");
        let streams =
            ["AuditLog/ExportAuditEvents", "AuditLog/VerifyAuditLog", "KeyFeed/Subscribe", "MasterKeys/RewrapKeys"];
        assert_eq!(vault.streams, streams.map(|name| format!("claviger.keyvault.v1.{name}")));
        let routing = methods("claviger.routing.v1");
        assert_eq!(routing.all.len(), 4);
        assert_eq!(routing.streams, ["claviger.routing.v1.Routing/ReportOutcomes"]);
    }
}
