//! Reading the TLS files again when their content changes.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::{net::TcpStream, time::MissedTickBehavior};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{Error, Files, Parsed, Pem, server_config};

/// How often the files are looked at.
pub const RELOAD_INTERVAL: Duration = Duration::from_secs(10);

/// The certificates in force: handed to each new connection, replaced when the files change.
#[derive(Clone)]
pub struct Certificates {
    files: Arc<Files>,
    hash: RandomState,
    current: Arc<ArcSwap<ServerConfig>>,
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    /// If they cannot be used: a service does not start on bad files.
    pub fn load(files: Files) -> Result<Self, Error> {
        let pem = Pem::read(&files)?;
        let config = server_config(Parsed::new(&files, &pem)?)?;
        Ok(Self { files: Arc::new(files), hash: RandomState::new(), current: Arc::new(ArcSwap::from_pointee(config)) })
    }

    /// Shakes hands with the certificates in force at this moment.
    pub(crate) async fn accept(&self, tcp: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        TlsAcceptor::from(self.current.load_full()).accept(tcp).await
    }

    /// Looks at the files each `every` and takes over what changed; never ends. A bad set is logged once and leaves
    /// the last good one in force.
    pub async fn watch(self, every: Duration) {
        // What is in force may be older than what lies there now, so the first look always loads.
        let mut seen = None;
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let this = self.clone();
            // The files may lie on a slow volume: the runtime's own threads do not wait for it.
            let look = tokio::task::spawn_blocking(move || this.look(seen));
            seen = look.await.unwrap_or(seen);
        }
    }

    /// Loads the files if their content is not the one seen last; returns what was seen now.
    fn look(&self, seen: Option<u64>) -> Option<u64> {
        let pem = Pem::read(&self.files);
        let now = pem.as_ref().map_or(UNREADABLE, |pem| self.fingerprint(pem));
        if seen == Some(now) {
            return seen;
        }
        let config = pem.and_then(|pem| Parsed::new(&self.files, &pem)).and_then(server_config);
        match config {
            Ok(config) => {
                self.current.store(Arc::new(config));
                metrics::counter!("tls_reloads_total", "result" => "ok").increment(1);
                if seen.is_some() {
                    tracing::info!(file = %self.files.cert.display(), "TLS certificates reloaded");
                }
            }
            Err(error) => {
                metrics::counter!("tls_reloads_total", "result" => "error").increment(1);
                tracing::error!(error = &error as &dyn std::error::Error, "bad TLS files: the last good ones stay");
            }
        }
        Some(now)
    }

    /// Tells contents apart without keeping the key's text. Keyed at random: nobody can prepare a collision.
    fn fingerprint(&self, pem: &Pem) -> u64 {
        let mut hasher = self.hash.build_hasher();
        for part in [&pem.cert, &*pem.key, &pem.ca] {
            hasher.write_usize(part.len());
            hasher.write(part);
        }
        // Never the value that stands for unreadable files.
        hasher.finish() | 1
    }
}

const UNREADABLE: u64 = 0;
