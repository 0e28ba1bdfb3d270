//! Connecting with the certificates that lie there at that moment.

use std::{path::PathBuf, sync::Arc};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, client::Resumption, crypto::ring};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tower::Service;

use super::Error;
use crate::tls::{self, Files, Parsed, Pem};

/// Makes connections to one server.
#[derive(Clone)]
pub(super) struct Dialer {
    address: Arc<str>,
    /// `client_ca` is the server's CA here.
    files: Files,
    name: ServerName<'static>,
}

impl Dialer {
    pub(super) fn new(address: String, files: Files, server_ca: PathBuf, server_name: &str) -> Result<Self, Error> {
        let name = ServerName::try_from(server_name.to_owned()).map_err(|_| Error::ServerName)?;
        let files = Files { client_ca: server_ca, ..files };
        client_config(&files)?;
        Ok(Self { address: address.into(), files, name })
    }

    pub(super) fn connector(
        self,
    ) -> impl Service<Uri, Response = TokioIo<TlsStream<TcpStream>>, Error = std::io::Error, Future: Send> + Send + 'static
    {
        tower::service_fn(move |_: Uri| self.clone().connect())
    }

    async fn connect(self) -> std::io::Result<TokioIo<TlsStream<TcpStream>>> {
        let files = self.files;
        let config = tokio::task::spawn_blocking(move || client_config(&files))
            .await
            .map_err(std::io::Error::other)?
            .map_err(std::io::Error::other)?;
        let tcp = TcpStream::connect(&*self.address).await?;
        tcp.set_nodelay(true)?;
        Ok(TokioIo::new(TlsConnector::from(Arc::new(config)).connect(self.name, tcp).await?))
    }
}

fn client_config(files: &Files) -> Result<ClientConfig, tls::Error> {
    let parsed = Parsed::new(files, &Pem::read(files)?)?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(tls::Error::Unusable)?
        .with_root_certificates(parsed.roots)
        .with_client_auth_cert(parsed.chain, parsed.key)
        .map_err(tls::Error::Unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}
